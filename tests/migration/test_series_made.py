"""What revisions made of series is what the code expects: the capture function, its triggers, late rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import psycopg
import sqlalchemy as sa

from storekeeper import Catalog, Platform
from storekeeper.domains import CATALOG
from storekeeper.ledger.tables import TIMESCALE
from storekeeper.migrations import apply, plan
from storekeeper.stores.sql.urls import sqlalchemy_url
from storekeeper.timescale.capture import create_functions

Opened = Callable[..., Platform]

_FUNCTIONS = """
SELECT proname, prosrc, prosecdef, proconfig FROM pg_proc
WHERE pronamespace = 'storekeeper'::regnamespace AND proname IN ('note_changes', 'note_row') ORDER BY proname
"""


def test_the_frozen_functions_are_those_of_the_code(migrated_url: str, other_url: str) -> None:
    """Where this fails, the functions have changed since the newest revision made them: write another revision."""
    engine = sa.create_engine(sqlalchemy_url(other_url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA storekeeper"))
        TIMESCALE.create_all(connection)
        for statement in create_functions():
            connection.execute(statement.clause())
    with psycopg.connect(migrated_url) as made, psycopg.connect(other_url) as expected:
        functions = expected.execute(_FUNCTIONS).fetchall()
        assert functions
        assert made.execute(_FUNCTIONS).fetchall() == functions


def test_every_series_notes_its_changes(migrated_url: str) -> None:
    series = {h.name for h in CATALOG.hypertables}
    series |= {f"{h.schema}.{rollup.name}" for h in CATALOG.hypertables for rollup in h.rollups}
    with psycopg.connect(migrated_url) as connection:
        rows = connection.execute(
            "SELECT t.tgrelid::regclass::text, array_agg(t.tgname::text) FROM pg_trigger t "
            "WHERE t.tgfoid = 'storekeeper.note_changes()'::regprocedure GROUP BY 1"
        ).fetchall()
        assert {table for table, _ in rows} == series
        for _, triggers in rows:
            assert {f"storekeeper_note_{event}" for event in ("insert", "update", "delete")} <= set(triggers)
        marks = connection.execute("SELECT dataset, rolled_up FROM storekeeper.watermarks").fetchall()
    rolled_up = {"deals.price_tracking", "invest.intraday_prices", "invest.stock_prices_5min"}
    assert dict(marks) == {name: name in rolled_up for name in series}


def test_late_rows_are_treated_as_declared(opened: Opened, migrated_url: str) -> None:
    domain = CATALOG.domain("invest")
    hypertables = tuple(
        replace(h, late_rows="keep") if h.name == "invest.market_indices" else h for h in domain.hypertables
    )
    changed = replace(domain, hypertables=hypertables)
    domains = tuple(changed if one is domain else one for one in CATALOG.domains)
    catalog = Catalog(domains, backups=CATALOG.backups)
    platform = opened(migrated_url, catalog=catalog)
    step = next(step for step in plan(platform).steps if step.action == "set late rows")
    assert (step.target, step.detail) == ("invest.market_indices", "refuse → keep")
    apply(platform)
    assert plan(platform).steps == ()
    with psycopg.connect(migrated_url) as connection:
        kept = connection.execute("SELECT dataset FROM storekeeper.watermarks WHERE late_rows = 'keep'").fetchall()
    assert kept == [("invest.market_indices",)]
