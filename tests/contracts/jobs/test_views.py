"""The views job refreshes what is declared, under its readers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from storekeeper.catalog import Catalog, MaterializedView
from storekeeper.errors import JobFailedError
from storekeeper.jobs import Action, Every, jobs_of, run_job
from storekeeper.jobs.views import run
from storekeeper.platform import Platform
from storekeeper.span import hours, minutes

NOW = datetime(2014, 5, 7, tzinfo=UTC)
VIEW = "invest.portfolio_summary"


def execute(platform: Platform, statement: str) -> list[Any]:
    with platform.postgres.begin() as connection:
        result = connection.execute(sa.text(statement))
        return list(result.all()) if result.returns_rows else []


@pytest.fixture
def filled(platform: Platform) -> Platform:
    """A user with three portfolios."""
    execute(
        platform,
        """
        WITH owner AS (
            INSERT INTO invest.users (email, password_hash, first_name, last_name)
            VALUES ('ada@example.org', 'x', 'Ada', 'L') RETURNING id
        )
        INSERT INTO invest.portfolios (user_id, is_default) SELECT id, n = 1 FROM owner, generate_series(1, 3) AS n
        """,
    )
    return platform


def test_it_shows_what_the_tables_hold(filled: Platform) -> None:
    rehearsed = run_job(filled, "views", as_of=NOW, dry_run=True)
    assert rehearsed.report.actions == (Action("refresh", VIEW, "concurrently"),)
    assert execute(filled, f"SELECT * FROM {VIEW}") == []
    (done,) = run_job(filled, "views", as_of=NOW).report.actions
    assert (done.verb, done.target, done.rows) == ("refresh", VIEW, 3)
    assert done.detail.startswith("concurrently, in ")
    assert len(execute(filled, f"SELECT * FROM {VIEW}")) == 3


def test_one_that_never_held_anything_is_filled(filled: Platform) -> None:
    execute(filled, f"REFRESH MATERIALIZED VIEW {VIEW} WITH NO DATA")
    rehearsed = run_job(filled, "views", as_of=NOW, dry_run=True)
    assert rehearsed.report.actions == (Action("refresh", VIEW, "for the first time"),)
    (done,) = run_job(filled, "views", as_of=NOW).report.actions
    assert (done.detail.partition(",")[0], done.rows) == ("for the first time", 3)


def test_readers_do_not_wait_and_are_not_waited_for(filled: Platform) -> None:
    with psycopg.connect(filled.url("postgres")) as reader:
        assert reader.execute(f"SELECT * FROM {VIEW}").fetchall() == []  # and its transaction stays open
        refresh = run(filled, as_of=NOW, dry_run=False)
        with filled.postgres.begin() as connection:
            connection.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))
            connection.execute(sa.text(f"REFRESH MATERIALIZED VIEW CONCURRENTLY {VIEW}"))
            # the refresh is done, and not committed: others read on
            assert reader.execute(f"SELECT * FROM {VIEW}").fetchall() == []
        assert [step.rows for step in refresh if isinstance(step, Action)] == [3]
        assert len(reader.execute(f"SELECT * FROM {VIEW}").fetchall()) == 3


def test_a_view_that_is_missing_is_said_so_and_the_others_are_refreshed(filled: Platform) -> None:
    other = sa.Table(
        "latest", sa.MetaData(schema="invest"), sa.Column("id", sa.Uuid), sa.Index("idx_latest", "id", unique=True)
    )
    domain = filled.catalog.domain("invest")
    views = (MaterializedView(other, every=minutes(5)), *domain.views)
    filled.catalog = Catalog((replace(domain, views=views),))
    with pytest.raises(JobFailedError, match=r"refresh invest\.latest"):
        run_job(filled, "views", as_of=NOW)
    assert len(execute(filled, f"SELECT * FROM {VIEW}")) == 3


def test_it_runs_as_often_as_the_view_that_needs_it_most() -> None:
    def schedule(*every: MaterializedView) -> Every | None:
        from storekeeper.catalog import Domain

        (job,) = [job for job in jobs_of(Catalog((Domain("lab", views=every),))) if job.name == "views"]
        return job.schedule

    def view(name: str, every: Any) -> MaterializedView:
        table = sa.Table(name, sa.MetaData(schema="lab"), sa.Column("id", sa.Uuid), sa.Index(name, "id", unique=True))
        return MaterializedView(table, every=every)

    assert schedule() == Every(minutes(15))
    assert schedule(view("a", hours(1)), view("b", minutes(5))) == Every(minutes(5))
