"""Rows that retention has archived are asked for as any others: comparisons, limits, ranges that nobody gave, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from command_line import CommandLine
from storekeeper import Platform, connect
from storekeeper.analytics.asking import Request
from storekeeper.analytics.comparisons import parse
from storekeeper.analytics.explaining import explain
from storekeeper.analytics.extent import extent
from storekeeper.analytics.reading import answering, read
from storekeeper.catalog import Catalog
from storekeeper.domains import CATALOG
from storekeeper.errors import ArchiveError, ValueFitError
from storekeeper.platform import Role
from storekeeper.span import hours, minutes

PRICES = "invest.intraday_prices"
START = datetime(2024, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS = 6
#: As of then the first three days are due.
AS_OF = START + timedelta(days=33)

#: As it ships, but that prices are archived.
ARCHIVING = Catalog(
    tuple(
        replace(domain, hypertables=tuple(replace(one, archive=one.name == PRICES) for one in domain.hypertables))
        for domain in CATALOG.domains
    )
)
MODULE = """
from dataclasses import replace
from storekeeper.catalog import Catalog
from storekeeper.domains import CATALOG as ALL
CATALOG = Catalog(tuple(
    replace(one, hypertables=tuple(replace(t, archive=t.name == "invest.intraday_prices") for t in one.hypertables))
    for one in ALL.domains
))
"""


def connected(url: str, archive: Path | None) -> Platform:
    return connect(catalog=ARCHIVING, stores=("timescale",), timescale_url=url, archive=archive)


@pytest.fixture
def platform(migrated_url: str, tmp_path: Path) -> Iterator[Platform]:
    """Six days of two symbols, and GONE, which has rows on the first day alone."""
    with connected(migrated_url, tmp_path / "archive") as platform:
        rows = [
            {
                "time": START + timedelta(minutes=30 * step),
                "symbol": symbol,
                "price": Decimal(100_000_001 + step).scaleb(-6),
                "volume": Decimal(step % 7).scaleb(-8),
                "bid": None if step % 3 else Decimal("1.5"),
            }
            for step in range(DAYS * 48)
            for symbol in (("a", "B", "GONE") if step < 10 else ("a", "B"))
        ]
        platform.timescale.append(PRICES, rows)
        yield platform


def rows(platform: Platform, request: Request) -> tuple[list[Any], bool]:
    with answering(platform, request) as answer:
        return [row for batch in answer.batches for row in batch], answer.cut


def test_rows_are_chosen_alike_in_both_tiers(platform: Platform) -> None:
    middle = START + 3 * DAY
    requests = [
        Request(PRICES),
        Request(PRICES, start=START + DAY, end=START + 4 * DAY, columns=("price", "time")),
        Request(PRICES, limit=5),
        Request(PRICES, end=middle + timedelta(minutes=31), limit=9),
        Request(PRICES, limit=10_000),
        Request(PRICES, keys=("GONE", "nobody")),
        Request(PRICES, keys=("GONE",), limit=3),
        Request(PRICES, where=tuple(map(parse, ("symbol>B", "price>=100.000100", "price<100.000200")))),
        Request(PRICES, where=tuple(map(parse, ("bid=", "symbol!=GONE", "volume=0.00000003"))), limit=30),
        Request(PRICES, where=(parse("time<2024-05-02 12:00"),), columns=("symbol",)),
        Request(PRICES, keys=("nobody",)),
    ]
    before = [rows(platform, request) for request in requests]
    tables = [read(platform, request) for request in requests]
    platform.timescale.drop_chunks(PRICES, as_of=AS_OF)
    assert len(platform.timescale.archived(PRICES)) == 1
    for request, expected, table in zip(requests, before, tables, strict=True):
        assert rows(platform, request) == expected, request
        assert read(platform, request).equals(table)
    with pytest.raises(ValueFitError):
        rows(platform, Request(PRICES, where=(parse("price>dear"),)))


def test_an_answer_is_left_in_the_middle(platform: Platform) -> None:
    platform.timescale.drop_chunks(PRICES, as_of=AS_OF)
    with answering(platform, Request(PRICES)) as answer:
        assert next(answer.batches)
    assert len(rows(platform, Request(PRICES))[0]) == DAYS * 96 + 10


def test_where_rows_lie_is_found_in_both_tiers(platform: Platform, migrated_url: str) -> None:
    requests = [Request(PRICES), Request(PRICES, keys=("GONE",)), Request(PRICES, keys=("nobody",))]
    requests += [Request(PRICES, keys=("a",), every=minutes(5)), Request(PRICES, where=(parse("price>100.0005"),))]
    before = [extent(platform, request) for request in requests]
    platform.timescale.drop_chunks(PRICES, as_of=AS_OF)
    assert [extent(platform, request) for request in requests] == before
    assert [extent(platform, request, last=True).last for request in requests] == [one.last for one in before]
    explained = explain(platform, Request(PRICES, start=START + DAY))
    first = explained.parts[0]
    assert (first.start, first.end, first.source) == (START + DAY, START + 3 * DAY, f"the archive of {PRICES}")
    with connected(migrated_url, None) as without, pytest.raises(ArchiveError, match="no place"):
        rows(without, Request(PRICES))


def test_the_command_line_reads_the_archive(
    platform: Platform, commands: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(commands.folder))
    (commands.folder / "archived_prices.py").write_text(MODULE)
    how = ("--catalog", "archived_prices:CATALOG", "--json")
    place = str(tmp_path / "archive")
    asked = [
        ("-s", "GONE"),
        ("--from", "2024-05-01", "--to", "2024-05-05", "--limit", "500"),
        ("--last", "40h", "--to", "2024-05-04", "--where", "price>100.000050"),
        ("-s", "GONE", "--bars", "1h", "--gaps", "last", "--from", "2024-05-01T06:00", "--to", "2024-05-01T08:00"),
    ]
    before = [commands("query", PRICES, *some, *how, STOREKEEPER_ARCHIVE=place) for some in asked]
    assert all(answer.json for answer in before)
    platform.timescale.drop_chunks(PRICES, as_of=AS_OF)
    for some, expected in zip(asked, before, strict=True):
        found = commands("query", PRICES, *some, *how, STOREKEEPER_ARCHIVE=place)
        assert (found.out, found.err) == (expected.out, expected.err), some
    commands("query", PRICES, "--from", "2024-01-01", "-o", "all.csv", *how[:2], STOREKEEPER_ARCHIVE=place)
    assert len((commands.folder / "all.csv").read_text().splitlines()) == DAYS * 96 + 10 + 1
    none = commands("query", PRICES, "-s", "GONE", "--from", "2024-05-06", *how[:2], STOREKEEPER_ARCHIVE=place)
    said = re.sub(r"\s+", " ", none.err)
    assert "rows with symbol=GONE lie from 2024-05-01 00:00 to 2024-05-01 04:30 UTC" in said
    assert "dropped" not in said
    told = commands("query", PRICES, "--from", "2024-05-01", "--explain", *how, STOREKEEPER_ARCHIVE=place).json
    assert told["parts"][0]["source"] == f"the archive of {PRICES}"


def test_every_role_that_reads_prices_reads_the_archived_ones(
    platform: Platform, role_settings: dict[str, Any], tmp_path: Path
) -> None:
    requests = [Request(PRICES, limit=200), Request(PRICES, start=START, every=hours(1), gaps="last")]
    before = [rows(platform, request)[0] for request in requests]
    newest = platform.timescale.latest(PRICES)
    platform.timescale.drop_chunks(PRICES, as_of=AS_OF)
    roles: tuple[Role, ...] = ("app", "analyst", "jobs")
    for role in roles:
        with connect(
            catalog=ARCHIVING, stores=("timescale",), role=role, archive=tmp_path / "archive", **role_settings
        ) as seen:
            assert [rows(seen, request)[0] for request in requests] == before, role
            assert seen.timescale.latest(PRICES).equals(newest)
            assert sum(batch.num_rows for batch in seen.timescale.stream(PRICES)) == DAYS * 96 + 10
            assert seen.timescale.complete_from(PRICES) is None
