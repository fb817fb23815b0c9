"""Clean-up deletes what has expired or is too old, batch by batch, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from storekeeper.catalog import Catalog, Domain, Monthly, TableLifecycle
from storekeeper.errors import JobFailedError
from storekeeper.jobs import Action, cleanup, history, run_job
from storekeeper.jobs.cleanup import outlived
from storekeeper.ledger.catalogues import record_catalogue
from storekeeper.platform import Platform
from storekeeper.span import days, years

NOW = datetime(2014, 5, 7, tzinfo=UTC)

METADATA = sa.MetaData(schema="shop")
tokens = sa.Table(
    "tokens",
    METADATA,
    sa.Column("owner", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
)
visits = sa.Table("visits", METADATA, sa.Column("at", sa.DateTime(timezone=True)))

EXPIRING = TableLifecycle(tokens, expires="expires_at")


@pytest.fixture
def shop(platform: Platform) -> Platform:
    """40 tokens: number n of owner 1 or 2 was made n days ago and expires a day later; one never does."""
    with platform.postgres.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA shop"))
        METADATA.create_all(connection)
        rows = [
            {"owner": owner, "number": age, "made_at": NOW - timedelta(days=age)}
            | {"expires_at": NOW - timedelta(days=age - 1)}
            for owner in (1, 2)
            for age in range(20)
        ]
        connection.execute(sa.insert(tokens), rows)
        connection.execute(sa.insert(tokens).values(owner=3, number=0, made_at=NOW - timedelta(days=900)))
    return platform


def declare(platform: Platform, lifecycle: TableLifecycle) -> None:
    platform.catalog = Catalog((Domain("shop", tables=(lifecycle.table,), lifecycles=(lifecycle,)),))
    with platform.postgres.begin() as connection:
        connection.execute(record_catalogue(platform.catalog))


def kept(platform: Platform) -> list[tuple[int, int]]:
    with platform.postgres.begin() as connection:
        rows = connection.execute(sa.select(tokens.c.owner, tokens.c.number).order_by(*tokens.primary_key))
        return [(row[0], row[1]) for row in rows]


@pytest.mark.parametrize("batch", [1_000, 7, 18, 1])
def test_expired_rows_go_and_a_dry_run_says_so(shop: Platform, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(cleanup, "BATCH", batch)
    declare(shop, EXPIRING)
    expected = (Action("delete", "shop.tokens", "rows past expires_at", rows=36),)
    assert run_job(shop, "cleanup", as_of=NOW, dry_run=True).report.actions == expected
    assert len(kept(shop)) == 41
    assert run_job(shop, "cleanup", as_of=NOW).report.actions == expected
    # what expires at this very moment is not past it
    assert kept(shop) == [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)]
    assert run_job(shop, "cleanup", as_of=NOW).report.actions == ()


def test_rows_that_somebody_holds_wait_for_the_next_run(shop: Platform) -> None:
    declare(shop, EXPIRING)
    with shop.postgres.begin() as connection:
        connection.execute(sa.select(tokens).where(tokens.c.number == 19).with_for_update())
        assert run_job(shop, "cleanup", as_of=NOW).report.rows == 34
    assert run_job(shop, "cleanup", as_of=NOW).report.rows == 2


def test_rows_go_by_age_but_never_before_they_must_be_kept(shop: Platform) -> None:
    declare(shop, TableLifecycle(tokens, since="made_at", drop_after=days(10)))
    assert run_job(shop, "cleanup", as_of=NOW).report.rows == 19
    assert max(number for _, number in kept(shop)) == 10
    declare(shop, TableLifecycle(tokens, since="made_at", expires="expires_at", keep_at_least=days(5)))
    run = run_job(shop, "cleanup", as_of=NOW)
    assert run.report.actions == (Action("delete", "shop.tokens", "rows past expires_at", rows=10),)
    assert max(number for _, number in kept(shop)) == 5


def test_partitions_and_tables_without_a_rule_are_left_alone() -> None:
    monthly = TableLifecycle(visits, partition=Monthly("at"), drop_after=days(90), expires="at")
    assert outlived(monthly, NOW) is None
    assert outlived(TableLifecycle(tokens, keep_at_least=years(7)), NOW) is None
    # without a `since` column nobody knows how old a row is
    assert outlived(replace(EXPIRING, keep_at_least=years(7)), NOW) is None


def test_a_table_without_a_key_is_refused_rather_than_emptied(shop: Platform) -> None:
    declare(shop, TableLifecycle(visits, expires="at"))
    with shop.postgres.begin() as connection:
        connection.execute(sa.insert(visits).values(at=NOW - timedelta(days=1)))
        connection.execute(sa.insert(visits).values(at=NOW + timedelta(days=1)))
    with pytest.raises(JobFailedError, match="cleaned up by primary key"):
        run_job(shop, "cleanup", as_of=NOW)
    with shop.postgres.begin() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(visits)).scalar_one() == 2


def test_batches_that_were_deleted_before_a_failure_are_said(shop: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "BATCH", 10)
    declare(shop, EXPIRING)
    with shop.postgres.begin() as connection:
        connection.execute(
            sa.text("""
                CREATE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF (SELECT count(*) FROM shop.tokens) < 25 THEN RAISE EXCEPTION 'enough'; END IF; RETURN NULL;
                END $$""")
        )
        connection.execute(
            sa.text(
                "CREATE TRIGGER refuse AFTER DELETE ON shop.tokens FOR EACH STATEMENT EXECUTE FUNCTION shop.refuse()"
            )
        )
    with pytest.raises(JobFailedError, match="enough"):
        run_job(shop, "cleanup", as_of=NOW)
    (run,) = history(shop)
    assert run.report.actions == (Action("delete", "shop.tokens", "rows past expires_at", rows=10),)
    assert len(kept(shop)) == 31
