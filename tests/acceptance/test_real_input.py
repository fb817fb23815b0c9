"""The files that data engineers have, by one command each: what lands in the store equals what Python's csv module and
exact decimals say of the file."""

from __future__ import annotations

import csv
import gzip
import random
import shlex
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from command_line import CommandLine

Row = dict[str, str]


def write(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def read(path: Path) -> list[Row]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def ticks(path: Path) -> None:
    """Quotes at irregular milliseconds; in one of ten the bid lies above the ask."""
    chance, moment, mid = random.Random(1), datetime(2014, 5, 1, 5, tzinfo=UTC), 138_727
    rows = []
    for _ in range(4_000):
        moment += timedelta(milliseconds=chance.randint(1, 90_000))
        mid += chance.randint(-3, 3)
        ask = mid + chance.choice((-1, 0, 0, 1, 2, 3, 2, 1, 2, 3))
        stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
        rows.append((stamp, "fxcm", "EURUSD", f"{mid / 1e5:.5f}", f"{ask / 1e5:.5f}"))
    write(path, ("ts_utc", "market", "symbol", "bid", "ask"), rows)


def seconds_of_gold(path: Path) -> None:
    """Bid and ask bars of one second, with gaps; sizes are always 0."""
    chance, start = random.Random(2), datetime(2014, 5, 1, tzinfo=UTC)
    parts = [f"{side}_{part}" for side in ("bid", "ask") for part in ("open", "high", "low", "close")]
    rows = []
    for second in sorted(chance.sample(range(90_000), 3_000)):
        prices = [f"{chance.randint(1_270_000, 1_310_000) / 1000:.3f}" for _ in range(8)]
        rows.append((f"{start + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S.000Z}", "oanda", "XAUUSD", *prices))
    write(path, ("ts_utc", "market", "symbol", *parts), rows)


def minutes_of_trades(path: Path) -> None:
    """The same minute of one pair from two venues; volumes of eight decimals."""
    chance, start = random.Random(3), datetime(2016, 10, 7, tzinfo=UTC)
    rows = [
        (
            f"{start + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%S.000Z}",
            venue,
            "BTCUSD",
            *(f"{chance.randint(61_000, 62_000) / 100:.2f}" for _ in range(4)),
            f"{chance.randint(0, 10**10) / 10**8:.8f}",
        )
        for minute in range(1_000)
        for venue in ("coinbase", "bitfinex")
    ]
    write(path, ("ts_utc", "market", "symbol", "open", "high", "low", "close", "volume"), rows)


def archives(path: Path) -> None:
    """One row an archive and symbol: each archive repeats the day before, corrects some of it, and runs backwards."""
    chance, first = random.Random(4), date(2016, 1, 4)
    header = ("symbol", "date", "open", "high", "low", "close", "volume", "adj_close", "archive_date")
    rows = []
    for archive in range(1, 40):
        for symbol in (f"A{number}" for number in range(30)):
            for day in (archive, archive - 1):
                low = chance.randint(1_000, 9_000)
                prices = [f"{price / 100:.2f}" for price in (low + 5, low + 90, low, low + 50)]
                adjusted = f"{low / 100:.6f}" if chance.random() < 0.9 else ""
                when = first + timedelta(days=day)
                rows.append(
                    (symbol, when, *prices, chance.randint(0, 10**9), adjusted, first + timedelta(days=archive))
                )
    write(path, header, rows)


def wiki(path: Path) -> None:
    """Adjusted closes with more decimals than are kept, some of them exactly between two."""
    chance, first = random.Random(5), date(2000, 3, 1)
    header = ("Ticker", "Date", "Open", "High", "Low", "Close", "Volume", "Adj Close")
    rows = []
    for day in range(600):
        tail = chance.choice(("5", "50000001", "123", "4999999"))
        adjusted = f"{chance.randint(1, 400)}.{chance.randint(0, 999_999):06d}{tail}"
        rows.append(("AAPL", first + timedelta(days=day), "118.56", "132.06", "118.5", "130.31", 9_616_100, adjusted))
    write(path, header, rows)


def index(path: Path) -> None:
    """American dates over both changes of clocks, volumes past four bytes."""
    chance, first = random.Random(6), date(1999, 1, 4)
    header = ("Date", "Open", "High", "Low", "Close", "Adj Close", "Volume")
    rows = []
    for day in range(500):
        when = first + timedelta(days=day)
        close = f"{chance.randint(67_000_000, 290_000_000) / 10**5:.6f}"
        stamp = f"{when.month}/{when.day}/{when.year}"
        rows.append((stamp, close, close, close, close, close, chance.randint(1, 10**10)))
    write(path, header, rows)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if "T" not in text else datetime.fromisoformat(text)


def numbers(*texts: str) -> tuple[Decimal | None, ...]:
    return tuple(Decimal(text) if text else None for text in texts)


def expected_ticks(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [
        (
            moment(row["ts_utc"]),
            f"{row['symbol']}@{row['market']}",
            (Decimal(row["bid"]) + Decimal(row["ask"])) / 2,
            Decimal(0),
            *numbers(row["bid"], row["ask"]),
        )
        for row in rows
    ]


def expected_gold(rows: list[Row]) -> list[tuple[Any, ...]]:
    return expected_ticks([{**row, "bid": row["bid_close"], "ask": row["ask_close"]} for row in rows])


def expected_trades(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [
        (moment(row["ts_utc"]), f"{row['symbol']}@{row['market']}", *numbers(row["close"], row["volume"], "", ""))
        for row in rows
    ]


def expected_archives(rows: list[Row]) -> list[tuple[Any, ...]]:
    latest: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row["symbol"], row["date"]
        if key not in latest or row["archive_date"] >= latest[key]["archive_date"]:
            latest[key] = row
    names = ("open", "high", "low", "close", "volume", "adj_close")
    return [(moment(row["date"]), row["symbol"], *numbers(*(row[name] for name in names))) for row in latest.values()]


def expected_wiki(rows: list[Row]) -> list[tuple[Any, ...]]:
    names = ("Open", "High", "Low", "Close", "Volume")
    places = Decimal("0.000001")
    return [
        (
            moment(row["Date"]),
            row["Ticker"],
            *numbers(*(row[name] for name in names)),
            Decimal(row["Adj Close"]).quantize(places, ROUND_HALF_EVEN),
        )
        for row in rows
    ]


def expected_index(rows: list[Row]) -> list[tuple[Any, ...]]:
    new_york = ZoneInfo("America/New_York")
    found = []
    for row in rows:
        month, day, year = map(int, row["Date"].split("/"))
        midnight = datetime(year, month, day, tzinfo=new_york).astimezone(UTC)
        found.append((midnight, "SPX", Decimal(row["Close"]), None, None, Decimal(row["Volume"])))
    return found


QUOTES = "--map time=ts_utc --map 'symbol={symbol}@{market}'"
FILES: dict[str, tuple[Callable[[Path], None], str, str, Callable[[list[Row]], list[tuple[Any, ...]]]]] = {
    "ticks.csv.gz": (
        ticks,
        "invest.intraday_prices",
        f"{QUOTES} --map 'price=mid(bid,ask)' --set volume=0",
        expected_ticks,
    ),
    "gold.csv.gz": (
        seconds_of_gold,
        "invest.intraday_prices",
        f"{QUOTES} --map bid=bid_close --map ask=ask_close --map 'price=mid(bid_close,ask_close)' --set volume=0",
        expected_gold,
    ),
    "trades.csv.gz": (minutes_of_trades, "invest.intraday_prices", f"{QUOTES} --map price=close", expected_trades),
    "archives.csv.gz": (
        archives,
        "invest.stock_prices",
        "--map time=date --zone UTC --map adjusted_close=adj_close --version archive_date --on-conflict update",
        expected_archives,
    ),
    "wiki.csv.gz": (
        wiki,
        "invest.stock_prices",
        "--map time=Date --zone UTC --map symbol=Ticker --map open=Open --map high=High --map low=Low "
        "--map close=Close --map volume=Volume --map 'adjusted_close=Adj Close' --round adjusted_close=6",
        expected_wiki,
    ),
    "index.csv.gz": (
        index,
        "invest.market_indices",
        "--map time=Date --time-format '%m/%d/%Y' --zone America/New_York --set index_symbol=SPX --map value=Close "
        "--map volume=Volume",
        expected_index,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_lands_as_it_stands(commands: CommandLine, name: str) -> None:
    make, dataset, options, expected = FILES[name]
    path = commands.folder / name
    make(path)
    rows = read(path)
    wanted = expected(rows)
    done = commands("ingest", dataset, name, *shlex.split(options), "--json").json
    assert (done["rows"], done["inserted"], done["rejected"]) == (len(rows), len(wanted), 0)
    assert done["superseded"] == len(rows) - len(wanted)
    with psycopg.connect(commands.settings["STOREKEEPER_POSTGRES_URL"]) as connection:
        stored = connection.execute(f"SELECT * FROM {dataset}").fetchall()
    assert sorted(stored, key=lambda row: row[:2]) == sorted(wanted, key=lambda row: row[:2])
    refused = commands("ingest", dataset, name, *shlex.split(options), code=2)
    assert f"from {name}: {len(rows):,} rows" in refused.err
    assert "--again takes it once more" in refused.err


def test_what_is_wrong_with_rows_is_said_and_kept(commands: CommandLine) -> None:
    lines = [
        "time,symbol,price,volume",
        "2024-05-01T10:00:00Z,BTC,61000.5,1",
        "2024-05-01T10:01:00Z,BTC,NaN,1",
        '2024-05-01T10:02:00Z,"B,""T""\nC",61000.5,1',
        f"2024-05-01T10:03:00Z,{'B' * 33},61000.5,1",
        "2024-05-01T10:04:00Z,BTC,0,1",
        "2024-05-01T10:05:00Z,BTC,61000.5",
        "2024-05-01T10:00:00Z,BTC,61000.6,2",
        "2024-05-01T10:06:00Z,BTC,61000.7,3",
    ]
    (commands.folder / "dirty.csv").write_text("\n".join(lines) + "\n")
    foreseen = commands("ingest", "invest.intraday_prices", "dirty.csv", "--dry-run")
    assert "dry run: would be 3 inserted, 5 rejected" in foreseen.out
    assert not (commands.folder / "dirty.csv.rejects.csv").exists()
    strict = commands("ingest", "invest.intraday_prices", "dirty.csv", "--strict", code=2)
    assert "line 3, column price: 'NaN' is" in strict.err
    done = commands("ingest", "invest.intraday_prices", "dirty.csv")
    assert "8 rows in" in done.out
    assert "3 inserted, 5 rejected" in done.out
    assert "5 rejected rows: dirty.csv.rejects.csv" in done.out
    with (commands.folder / "dirty.csv.rejects.csv").open(newline="") as file:
        rejects = {int(row["line"]): row for row in csv.DictReader(file)}
    assert sorted(rejects) == [3, 6, 7, 8, 9], "the row of line 4 goes on to line 5"
    assert rejects[3]["column"] == "price"
    assert rejects[6]["reason"].endswith("has 33 characters, VARCHAR(32) holds 32")
    assert "check_price_positive" in rejects[7]["reason"]
    assert rejects[8]["reason"] == "has 3 fields, the header 4"
    assert rejects[9]["reason"] == "its key (symbol, time) stands in an earlier row"
    assert [rejects[line]["row"] for line in (3, 8, 9)] == [lines[1 + 1], lines[6], lines[7]]


def test_a_pipe_is_a_file_too(commands: CommandLine) -> None:
    (commands.folder / "some.ndjson").write_text(
        '{"time": "2024-05-01T10:00:00Z", "symbol": "BTC", "price": 61000.123456, "volume": 0.00000001}\n'
        '{"time": "2024-05-01T10:01:00Z", "symbol": "BTC", "price": 12345678901.5, "volume": 1e3}\n'
    )
    piped = commands("ingest", "invest.intraday_prices", "-", "--format", "ndjson", code=2)
    assert "stdin" in piped.err, "nothing came through it"
    commands("ingest", "invest.intraday_prices", "*.ndjson")
    with psycopg.connect(commands.settings["STOREKEEPER_POSTGRES_URL"]) as connection:
        stored = connection.execute("SELECT price, volume FROM invest.intraday_prices ORDER BY time").fetchall()
    assert stored == [(Decimal("61000.123456"), Decimal("1E-8")), (Decimal("12345678901.5"), Decimal(1000))]


def test_a_pattern_that_comes_every_night_takes_what_is_new(commands: CommandLine) -> None:
    row = "time,symbol,price,volume\n2024-05-0{}T10:00:00Z,BTC,61000.5,1\n"
    (commands.folder / "day1.csv").write_text(row.format(1))
    commands("ingest", "invest.intraday_prices", "day*.csv")
    (commands.folder / "day2.csv").write_text(row.format(2))
    second = commands("ingest", "invest.intraday_prices", "day*.csv")
    assert second.out.startswith("day2.csv → invest.intraday_prices: 1 row")
    assert "left out: ingest day1.csv into invest.intraday_prices: the same content was ingested" in second.err
    (commands.folder / "day3.csv").write_text(row.format(2))
    (commands.folder / "day4.csv").write_text(row.format(4))
    fourth = commands("ingest", "invest.intraday_prices", "day*.csv", "--again", code=2)
    assert "day4.csv → invest.intraday_prices: 1 row" in fourth.out, "a file that is all wrong does not stop the others"


def test_files_of_one_command_are_a_whole_where_versions_decide(commands: CommandLine) -> None:
    header = "time,symbol,open,high,low,close,volume,archive\n"
    bar = "2016-01-04T00:00:00Z,A,2,3,1,{},10,{}\n"
    (commands.folder / "a.csv").write_text(header + bar.format("1.5", "9"))
    (commands.folder / "b.csv").write_text(header + bar.format("2.5", "10"))
    (commands.folder / "c.csv").write_text(header + bar.format("3", "8"))
    done = commands("ingest", "invest.stock_prices", "[abc].csv", "--version", "archive", "--json").json
    assert (done["rows"], done["inserted"], done["superseded"]) == (3, 1, 2)
    assert [file["file"] for file in done["files"]] == ["a.csv", "b.csv", "c.csv"]
    with psycopg.connect(commands.settings["STOREKEEPER_POSTGRES_URL"]) as connection:
        stored = connection.execute("SELECT close FROM invest.stock_prices").fetchall()
    assert stored == [(Decimal("2.5"),)], "versions that are numbers are compared as such"
