"""Retention of a series that is archived, as a job: what it says; and nothing goes where nothing can be archived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from storekeeper.catalog import Catalog
from storekeeper.domains import CATALOG
from storekeeper.errors import ConflictError, JobFailedError
from storekeeper.jobs import Report, history, run_job
from storekeeper.ledger import archives
from storekeeper.ledger.catalogues import record_catalogue
from storekeeper.platform import Platform, connect

PRICES = "invest.intraday_prices"
FIRST = datetime(2014, 3, 3, tzinfo=UTC)
AS_OF = FIRST + timedelta(days=33)

#: As it ships, but that prices are archived.
ARCHIVING = Catalog(
    tuple(
        replace(domain, hypertables=tuple(replace(one, archive=one.name == PRICES) for one in domain.hypertables))
        for domain in CATALOG.domains
    )
)


@pytest.fixture
def url(migrated_url: str) -> str:
    """A store to which that catalogue was applied, with five days of prices."""
    with connected(migrated_url, None) as platform:
        with platform.postgres.begin() as connection:
            connection.execute(record_catalogue(platform.catalog))
        rows = [
            {
                "time": FIRST + timedelta(hours=6 * step),
                "symbol": "AAPL",
                "price": Decimal(100 + step),
                "volume": Decimal(1),
                "bid": Decimal(1),
                "ask": Decimal(2),
            }
            for step in range(20)
        ]
        platform.timescale.append(PRICES, rows)
    return migrated_url


@pytest.fixture
def platform(url: str, tmp_path: Path) -> Iterator[Platform]:
    with connected(url, tmp_path / "archive") as platform:
        yield platform


def connected(url: str, archive: Path | None) -> Platform:
    return connect(
        catalog=ARCHIVING.only(("invest",)),
        stores=("postgres", "timescale"),
        postgres_url=url,
        timescale_url=url,
        archive=archive,
    )


def gist(report: Report) -> list[tuple[str, str]]:
    return [(action.verb, action.target) for action in report.actions if action.target.startswith(f"{PRICES}_p")]


def test_a_run_says_what_was_archived_and_a_dry_run_what_would_be(platform: Platform, tmp_path: Path) -> None:
    chunks = [f"{PRICES}_p201403{day:02}" for day in (3, 4, 5)]
    each = [(verb, chunk) for chunk in chunks for verb in ("archive", "drop chunk")]
    rehearsed = run_job(platform, "retention", as_of=AS_OF, dry_run=True)
    assert gist(rehearsed.report) == each
    assert not (tmp_path / "archive").exists()
    run = run_job(platform, "retention", as_of=AS_OF)
    assert gist(run.report) == each
    archived = [action for action in run.report.actions if action.verb == "archive"]
    assert [action.rows for action in archived] == [4, 4, 4]
    assert all(action.bytes and "in 1 file of" in action.detail for action in archived)
    assert platform.timescale.raw(PRICES).num_rows == 20
    assert run_job(platform, "retention", as_of=AS_OF).report == Report()


def test_nothing_goes_without_a_place(url: str, tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    for archive, said in (
        (None, "there is no place for them"),
        (tmp_path / "in the way" / "archive", "Not a directory"),
    ):
        with connected(url, archive) as platform:
            with pytest.raises(JobFailedError, match=said) as caught:
                run_job(platform, "retention", as_of=AS_OF)
            assert "nothing was dropped" in caught.value.hint
            assert len(platform.timescale.chunks(PRICES)) == 5
            assert platform.timescale.watermark(PRICES) is None
            assert said in (history(platform, 1, "retention")[0].reason or "")


def test_services_get_no_chunk_in_place_of_one_that_is_being_archived(platform: Platform) -> None:
    upper = FIRST + timedelta(days=1)
    ask = sa.text("SELECT storekeeper.make_chunk(:dataset, :lower, :upper)")
    asked = {"dataset": PRICES, "lower": FIRST, "upper": upper}
    (chunk, *_) = platform.timescale.chunks(PRICES)
    with platform.timescale.pool.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE storekeeper.watermarks SET late_rows = 'keep', "
            f"dropped_before = '{upper}' WHERE dataset = '{PRICES}'"
        )
        connection.execute(archives.begin_part("p", PRICES, chunk.name, FIRST, upper, "somewhere"))
        connection.execute(archives.keep_part("p", rows=4, bytes_=1, content="0", manifest="0" * 64))
        connection.exec_driver_sql(f"ALTER TABLE {PRICES} DETACH PARTITION {chunk.label}")
    with pytest.raises(ConflictError, match="on its way to the archive"), platform.timescale.pool.begin() as connection:
        connection.execute(ask, asked)
    with platform.timescale.pool.begin() as connection:
        connection.execute(archives.drop_part("p"))
        assert connection.execute(ask, asked).scalar_one() is True
