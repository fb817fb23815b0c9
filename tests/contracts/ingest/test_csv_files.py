"""Files into real stores: whole, exact, or not at all; checked against Python's csv module and exact decimals."""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from storekeeper import connect
from storekeeper.errors import (
    CheckError,
    ColumnError,
    DeclarationError,
    InputFileError,
    NaiveTimeError,
    StorekeeperError,
    UniqueError,
    ValueFitError,
)
from storekeeper.ingest.csv_files import ingest_csv
from storekeeper.ingest.mapping import parse_map, parse_set
from storekeeper.ingest.progress import Ingested, Progress
from storekeeper.platform import Platform
from storekeeper.sample import path, sample

INTRADAY = "invest.intraday_prices"
HEADER = "time,symbol,price,volume,bid,ask"
GOOD = "2014-05-01T05:00:00Z,EURUSD,1.38727,3,,1.38729"

Write = Callable[..., Path]


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with connect(stores=("postgres", "timescale"), postgres_url=migrated_url, timescale_url=migrated_url) as opened:
        yield opened


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(*lines: str, name: str = "quotes.csv") -> Path:
        file = tmp_path / name
        content = "".join(f"{line}\n" for line in lines).encode()
        file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return file

    return written


def stored(platform: Platform, statement: str) -> list[tuple[Any, ...]]:
    with platform.timescale.pool.begin() as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement))]


def count(platform: Platform, dataset: str = INTRADAY) -> int:
    return int(stored(platform, f"SELECT count(*) FROM {dataset}")[0][0])


def ingested(
    platform: Platform, file: Path, maps: Sequence[str] = (), sets: Sequence[str] = (), **options: Any
) -> Ingested:
    dataset = options.pop("dataset", INTRADAY)
    return ingest_csv(platform, dataset, file, mapping=parse_map(maps), constants=parse_set(sets), **options)


def test_the_sample_is_in_the_store_to_the_last_decimal(platform: Platform) -> None:
    seen: list[Progress] = []
    result = ingested(platform, path("quotes_events"), batch_rows=1000, progress=seen.append)
    with gzip.open(path("quotes_events"), "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    assert result.rows == result.inserted == len(rows) == sample("quotes_events").rows
    expected = sorted(
        (
            datetime.fromisoformat(row["time"]),
            row["symbol"],
            Decimal(row["price"]),
            Decimal(row["volume"]),
            Decimal(row["bid"]) if row["bid"] else None,
            Decimal(row["ask"]) if row["ask"] else None,
        )
        for row in rows
    )
    assert stored(platform, f'SELECT {HEADER} FROM {INTRADAY} ORDER BY time, symbol COLLATE "C"') == expected
    assert len(seen) == 5
    assert [progress.rows for progress in seen] == [1000, 2000, 3000, 4000, len(rows)]
    assert seen[-1].bytes_read == seen[-1].bytes_total == path("quotes_events").stat().st_size


def test_columns_are_mapped_put_together_halved_and_set(platform: Platform, write: Write) -> None:
    file = write(
        "ts_utc,market,symbol,bid,ask,flag",
        "2014-05-01T05:00:01.787Z,fxcm,EURUSD,1.38727,1.38730,x",
        '2014-05-02T05:00:01+02:00,"fx""cm",EURUSD,"1.1","",x',
    )
    maps = ["time=ts_utc", "symbol={symbol}@{market}", "price=mid(ask,bid)"]
    with pytest.raises(ValueFitError, match=r"line 3, column price: a value is missing"):
        ingested(platform, file, maps, ["volume=0"])
    assert count(platform) == 0
    ingested(platform, file, [*maps[:2], "price=bid"], ["volume=0.5"])
    assert stored(platform, f"SELECT {HEADER} FROM {INTRADAY} ORDER BY time") == [
        (
            datetime(2014, 5, 1, 5, 0, 1, 787_000, tzinfo=UTC),
            "EURUSD@fxcm",
            Decimal("1.387270"),
            Decimal("0.50000000"),
            Decimal("1.387270"),
            Decimal("1.387300"),
        ),
        (
            datetime(2014, 5, 2, 3, 0, 1, tzinfo=UTC),
            'EURUSD@fx"cm',
            Decimal("1.100000"),
            Decimal("0.50000000"),
            Decimal("1.100000"),
            None,
        ),
    ]


@pytest.mark.parametrize(
    ("lines", "options", "error", "says"),
    [
        ([HEADER, GOOD, GOOD.replace("1.38727", "1.2345678")], {}, ValueFitError, "line 3, column price: '1.2345678'"),
        ([HEADER, GOOD, "", GOOD.replace("EURUSD", "E" * 33)], {}, ValueFitError, "line 4, column symbol: "),
        ([HEADER, GOOD, GOOD.replace("1.38727", "NaN")], {}, ValueFitError, "line 3, column price: 'NaN'"),
        ([HEADER, GOOD, GOOD.replace("1.38727", "")], {}, ValueFitError, "line 3, column price: a value is missing"),
        (
            [HEADER, GOOD, GOOD.replace("Z", "")],
            {},
            NaiveTimeError,
            "line 3, column time: '2014-05-01T05:00:00' has no",
        ),
        ([HEADER, GOOD, GOOD + ",1"], {}, InputFileError, "line 3 has 7 fields, the header 6"),
        ([HEADER, GOOD, '"' + GOOD], {}, InputFileError, "opened on line 3 is not closed"),
        ([HEADER + ",venue", GOOD + ",x"], {}, ColumnError, "'venue'"),
        ([HEADER + ",bid", GOOD + ",1"], {}, ColumnError, "the header names 'bid' twice"),
        (["time,symbol,price", GOOD], {}, ColumnError, "column volume is missing"),
        ([], {}, InputFileError, "is empty"),
        ([HEADER, GOOD, GOOD.replace("1.38727", "-1")], {}, CheckError, "check_price_positive"),
        ([HEADER, GOOD, GOOD], {}, UniqueError, "EURUSD"),
        ([HEADER, GOOD], {"dataset": "invest.quotes"}, DeclarationError, "no such dataset"),
        ([HEADER, GOOD], {"zone": "Mars/Olympus"}, StorekeeperError, "no time zone"),
    ],
)
def test_what_is_wrong_leaves_nothing(
    platform: Platform,
    write: Write,
    lines: list[str],
    options: dict[str, Any],
    error: type[StorekeeperError],
    says: str,
) -> None:
    for batch_rows in (1, 100_000):
        with pytest.raises(error) as caught:
            ingested(platform, write(*lines), batch_rows=batch_rows, **options)
        assert says in str(caught.value)
        assert count(platform) == 0


def test_a_damaged_end_leaves_nothing_of_the_rows_before_it(platform: Platform, write: Write) -> None:
    start = datetime(2014, 5, 1, tzinfo=UTC)
    prices = random.Random(1)
    lines = [f"{(start + timedelta(seconds=n)).isoformat()},A,{prices.random() + 1:.6f},0,," for n in range(250_000)]
    file = write(HEADER, *lines, name="quotes.csv.gz")
    file.write_bytes(file.read_bytes()[:-20])
    written: list[int] = []
    with pytest.raises(InputFileError, match="damaged or cut off"):
        ingested(platform, file, batch_rows=20_000, progress=lambda progress: written.append(progress.rows))
    assert written
    assert count(platform) == 0


def test_an_interrupted_file_leaves_nothing_and_can_be_sent_again(platform: Platform, write: Write) -> None:
    start = datetime(2014, 5, 1, tzinfo=UTC)
    lines = [f"{(start + timedelta(minutes=n)).isoformat()},A,1.5,0,," for n in range(5_000)]
    file = write(HEADER, *lines, name="quotes.csv.gz")

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingested(platform, file, batch_rows=500, progress=interrupt)
    assert count(platform) == 0
    assert ingested(platform, file, batch_rows=500).inserted == count(platform) == 5_000


def test_a_header_alone_is_a_file_of_no_rows(platform: Platform, write: Write) -> None:
    assert ingested(platform, write(HEADER)).rows == 0


def test_rows_that_are_there_already(platform: Platform, write: Write) -> None:
    ingested(platform, write(HEADER, GOOD))
    later = write(HEADER, GOOD.replace("1.38727", "2"), GOOD.replace("EURUSD", "GBPUSD"))
    with pytest.raises(UniqueError):
        ingested(platform, later)
    skipped = ingested(platform, later, on_conflict="skip")
    assert (skipped.inserted, skipped.updated, skipped.skipped) == (1, 0, 1)
    assert stored(platform, f"SELECT price FROM {INTRADAY} WHERE symbol = 'EURUSD'") == [(Decimal("1.387270"),)]
    updated = ingested(platform, later, on_conflict="update")
    assert updated.rows == 2
    assert updated.updated >= 1
    assert stored(platform, f"SELECT price FROM {INTRADAY} WHERE symbol = 'EURUSD'") == [(Decimal("2.000000"),)]
    assert count(platform) == 2


def test_times_without_a_zone_and_rounding_where_allowed(platform: Platform, write: Write) -> None:
    file = write("Date,Ticker,Adj Close,Open,High,Low,Close,Volume", "7/1/2014,AAPL,4.1866628138,1,2,1,2,9616100.0")
    maps = [
        "time=Date",
        "symbol=Ticker",
        "adjusted_close=Adj Close",
        "open=Open",
        "high=High",
        "low=Low",
        "close=Close",
    ]
    options: dict[str, Any] = {"dataset": "invest.stock_prices", "time_format": "%m/%d/%Y"}
    with pytest.raises(NaiveTimeError, match="line 2, column time"):
        ingested(platform, file, [*maps, "volume=Volume"], **options)
    options["zone"] = "America/New_York"
    with pytest.raises(ValueFitError, match=r"line 2, column adjusted_close: '4\.1866628138' has more decimals"):
        ingested(platform, file, [*maps, "volume=Volume"], **options)
    result = ingested(platform, file, [*maps, "volume=Volume"], round_to={"adjusted_close": 6}, **options)
    assert dict(result.rounded) == {"adjusted_close": 1}
    assert stored(platform, "SELECT time, adjusted_close, volume FROM invest.stock_prices") == [
        (datetime(2014, 7, 1, 4, tzinfo=UTC), Decimal("4.186663"), 9_616_100)
    ]


def test_a_relational_table_takes_files_too(platform: Platform, write: Write) -> None:
    header = "id,email,password_hash,first_name,last_name,preferences"
    ada = '00000000-0000-0000-0000-000000000001,ada@example.org,x,Ada,"Lovelace, Countess","{""a"": 1}"'
    users = {"dataset": "invest.users"}
    assert ingested(platform, write(header, ada), **users).inserted == 1
    statement = "SELECT last_name, preferences, subscription_tier FROM invest.users ORDER BY id"
    assert stored(platform, statement) == [("Lovelace, Countess", {"a": 1}, "free")]

    both = write(header, ada.replace("Ada,", "Augusta,"), ada.replace("0001,ada", "0002,bob"))
    with pytest.raises(UniqueError):
        ingested(platform, both, **users)
    assert count(platform, "invest.users") == 1
    skipped = ingested(platform, both, on_conflict="skip", **users)
    assert (skipped.inserted, skipped.updated, skipped.skipped) == (1, 0, 1)
    updated = ingested(platform, both, on_conflict="update", batch_rows=1, **users)
    assert (updated.inserted, updated.updated, updated.skipped) == (0, 2, 0)
    assert stored(platform, "SELECT first_name FROM invest.users ORDER BY id") == [("Augusta",), ("Ada",)]
    with pytest.raises(CheckError, match="check_email_format"):
        ingested(platform, write(header, ada.replace("0001,ada@example.org", "0003,nobody")), **users)
