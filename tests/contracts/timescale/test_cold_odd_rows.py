# Generated from test_cold_odd_rows_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Odd rows in the archive: numbers that no decimal is, zeros and NaN, texts in the order of a language, rows that came
late. Read as before."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from cold_series import START, tier
from series_servers import SeriesServer
from storekeeper import Aggregate, Measure, days, hours
from storekeeper.catalog import Catalog, Domain, Hypertable
from storekeeper.errors import ValueFitError
from storekeeper.timescale.engine import Engine
from timescale_series import in_database, script
from timescale_stores import opened

HOUR = timedelta(hours=1)
LATER = START + timedelta(days=30)
#: As a language has it, not by bytes.
NAMES = ["a", "B", "c", "D", "é", "Z"]

_table = sa.Table(
    "odd",
    sa.MetaData(schema="lab"),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("name", sa.String(32), nullable=False),
    sa.Column("number", sa.Numeric),
    sa.Column("share", sa.Float),
)
sa.Index("idx_odd", _table.c.name, _table.c.time.desc(), unique=True)
ODD = Hypertable(
    _table,
    time="time",
    natural_key=("name", "time"),
    chunk=days(1),
    drop_after=days(2),
    late_rows="keep",
    archive=True,
)
CATALOG = Catalog((Domain("lab", hypertables=(ODD,)),))


@contextmanager
def database_of_a_language(url: str, engine: Engine) -> Iterator[str]:
    """Another database on the same server, whose texts are in the order of English."""
    name = sql.Identifier(f"series_english_{secrets.token_hex(4)}")
    with psycopg.connect(url, autocommit=True) as psql:
        if not psql.execute("SELECT FROM pg_collation WHERE collname = 'en-x-icu'").fetchall():
            pytest.skip("the server was built without ICU: it orders texts by no language")
        made = "CREATE DATABASE {} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'"
        psql.execute(sql.SQL(made).format(name))
        try:
            other = in_database(url, name.as_string().strip('"'))
            with psycopg.connect(other, autocommit=True) as inside:
                if engine.name != "partitions":
                    inside.execute("CREATE EXTENSION timescaledb")
                inside.execute(script(engine, [ODD]).encode())
            yield other
        finally:
            psql.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e-45", "1e60"])
def test_numbers_that_no_decimal_is(series_server: SeriesServer, engine: Engine, tmp_path: Path, number: str) -> None:
    measures = [Measure("last", Aggregate.LAST, ("number",)), Measure("sum", Aggregate.SUM, ("number",))]
    with series_server.database(script(engine, [ODD])) as url:
        with opened(url, engine, CATALOG, archive=tier(tmp_path)) as store:
            rows = [{"time": START + hour * HOUR, "name": "a", "number": Decimal(hour)} for hour in range(5)]
            store.append("lab.odd", rows)
            with psycopg.connect(url) as psql:
                psql.execute("UPDATE lab.odd SET number = %s::numeric WHERE number = 3", (number,))
            asked: list[Callable[[bool], Any]] = [
                lambda exact: store.raw("lab.odd", exact=exact),
                lambda exact: store.bars("lab.odd", every=hours(1), measures=measures, exact=exact),
                lambda exact: store.bars(
                    "lab.odd", ["a"], every=hours(12), start=START, measures=measures, exact=exact
                ),
            ]
            before = [repr((ask(False)).to_pylist()) for ask in asked]  # a NaN is equal to none
            for _ in ("in the store", "in the archive"):
                for ask in asked:
                    with pytest.raises(ValueFitError, match="number") as caught:
                        ask(True)
                    assert caught.value.hint == "read it without exact=True"
                assert [repr((ask(False)).to_pylist()) for ask in asked] == before
                store.drop_chunks("lab.odd", as_of=LATER)
            assert store.archived("lab.odd")


def test_texts_are_in_the_order_of_the_server(series_url: str, engine: Engine, tmp_path: Path) -> None:
    with database_of_a_language(series_url, engine) as url:
        with opened(url, engine, CATALOG, archive=tier(tmp_path)) as store:

            def names(**how: Any) -> list[str | None]:
                return (store.raw("lab.odd", **how)).column("name").to_pylist()

            store.append("lab.odd", [{"time": START, "name": name} for name in NAMES[:4]])
            store.drop_chunks("lab.odd", as_of=LATER)
            store.append("lab.odd", [{"time": START, "name": name} for name in NAMES[4:]])
            for _ in ("of files and the store", "of two files"):
                assert names() == NAMES
                assert names(limit=2) == NAMES[:2]
                assert names(limit=2, newest_first=True) == NAMES[:-3:-1]
                assert (store.latest("lab.odd")).column("name").to_pylist() == NAMES
                store.drop_chunks("lab.odd", as_of=LATER)


def test_zeros_and_what_is_no_number_are_found(series_server: SeriesServer, engine: Engine, tmp_path: Path) -> None:
    nan = float("nan")
    of_days: list[list[float | None]] = [[0.0, 0.0], [-0.0, -0.0], [1.5, nan], [nan, nan], [0.0, -0.0, None, 1.5, nan]]
    rows = [
        {"time": START + day * timedelta(days=1) + hour * HOUR, "name": "a", "share": share}
        for day, shares in enumerate(of_days)
        for hour, share in enumerate(shares)
    ]
    wanted: list[list[object]] = [[0.0], [-0.0], [1.5], [nan], ["NaN", 0], [2.5], []]
    with series_server.database(script(engine, [ODD])) as url:
        with opened(url, engine, CATALOG, archive=tier(tmp_path)) as store:
            store.append("lab.odd", rows)
            for _ in ("in the store", "in the archive"):
                found = [(store.raw("lab.odd", where={"share": values})).num_rows for values in wanted]
                assert found == [6, 6, 2, 4, 10, 0, 0]
                store.drop_chunks("lab.odd", as_of=LATER)


def test_an_open_start_reaches_rows_that_came_late_to_what_was_dropped_before(
    series_server: SeriesServer, engine: Engine, tmp_path: Path
) -> None:
    counted = [Measure("rows", Aggregate.COUNT)]
    with series_server.database(script(engine, [ODD])) as url:
        with opened(url, engine, CATALOG, archive=tier(tmp_path)) as store:
            store.append("lab.odd", [{"time": START + timedelta(days=3), "name": "a"}])
            store.drop_chunks("lab.odd", as_of=LATER)
            store.append("lab.odd", [{"time": START, "name": "a"}])
            for _ in ("in the store", "in the archive"):
                bars = store.bars("lab.odd", every=days(1), measures=counted)
                assert bars.column("bucket").to_pylist() == [START, START + timedelta(days=3)]
                store.drop_chunks("lab.odd", as_of=LATER)
