"""What cannot be taken: one error that names operation, object and cause, its exit code, and not one row written."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from command_line import CommandLine

PRICES = "invest.intraday_prices"
HEADER = "time,symbol,price,volume"
GOOD = "2024-01-02T00:00:00Z,A,1.5,1"
NOISE = random.Random(7).randbytes(4000)


def rows(commands: CommandLine) -> int:
    with psycopg.connect(commands.settings["STOREKEEPER_POSTGRES_URL"]) as connection:
        counted = connection.execute("SELECT count(*) FROM invest.intraday_prices").fetchone()
    assert counted is not None
    return int(counted[0])


def lines(*rest: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rest, ""]).encode()


#: What is wrong → the file, options, exit code, and what the error and its hint say.
FILES: dict[str, tuple[bytes, tuple[str, ...], int, tuple[str, ...]]] = {
    "a column is missing": (
        lines("2024-01-02T00:00:00Z,A,1", header="time,symbol,volume"),
        (),
        2,
        ("column price is missing",),
    ),
    "a column is unknown": (
        lines(f"{GOOD},x", header=f"{HEADER},remark"),
        (),
        2,
        ("'remark' is none of", "--skip-unknown"),
    ),
    "a column stands twice": (lines(GOOD, header="time,symbol,price,price"), (), 2, ("names 'price' twice",)),
    "the mapped column is not there": (lines(GOOD), ("--map", "price=clse"), 2, ("the file has no column clse",)),
    "the dataset has no such column": (
        lines(GOOD),
        ("--map", "prise=price"),
        2,
        ("no column prise", "close to it: price"),
    ),
    "mapped and set": (
        lines(GOOD),
        ("--map", "price=price", "--set", "price=1"),
        2,
        ("'price' is both mapped and set",),
    ),
    "a naive time": (
        lines("2024-01-02 00:01:00,A,1,1", GOOD),
        (),
        2,
        ("line 2, column time", "no time zone", "--zone UTC"),
    ),
    "a naive time among others": (
        lines(GOOD, "2024-01-02 00:01:00,A,1,1"),
        ("--strict",),
        2,
        ("line 3, column time", "no time zone", "--zone UTC"),
    ),
    "no time at all": (lines(GOOD, "soon,A,1,1"), ("--zone", "UTC", "--strict"), 2, ("line 3, column time", "'soon'")),
    "no such zone": (lines(GOOD), ("--zone", "Mars/Olympus"), 2, ("no time zone is called 'Mars/Olympus'",)),
    "too many decimals": (
        lines(GOOD, "2024-01-02T00:01:00Z,A,1.1234567,1"),
        ("--strict",),
        2,
        ("line 3, column price: '1.1234567' has more decimals than NUMERIC(18,6) holds", "--round COLUMN="),
    ),
    "too large": (
        lines(GOOD, "2024-01-02T00:01:00Z,A,1e12,1"),
        ("--strict",),
        2,
        ("line 3, column price", "too large for NUMERIC(18,6)"),
    ),
    "no number": (
        lines(GOOD, "2024-01-02T00:01:00Z,A,many,1"),
        ("--strict",),
        2,
        ("line 3, column price: 'many' is not a number",),
    ),
    "a value is missing": (
        lines(GOOD, "2024-01-02T00:01:00Z,A,,1"),
        ("--strict",),
        2,
        ("line 3, column price", "NOT NULL"),
    ),
    "a check is broken": (
        lines(GOOD, "2024-01-02T00:01:00Z,A,0,1"),
        ("--strict",),
        2,
        ("line 3: breaks check_price_positive: (price > ",),
    ),
    "a key stands twice": (
        lines(GOOD, GOOD),
        ("--strict",),
        2,
        ("line 3: its key (symbol, time) stands in an earlier row", "--version"),
    ),
    "too wide a row": (lines(GOOD, f"{GOOD},9"), ("--strict",), 2, ("line 3: has 5 fields, the header 4",)),
    "too narrow a row": (
        lines(GOOD, "2024-01-02T00:01:00Z,A"),
        ("--strict",),
        2,
        ("line 3: has 2 fields, the header 4",),
    ),
    "a quote is not closed": (
        lines(GOOD, '2024-01-02T00:01:00Z,"A,1,1'),
        (),
        2,
        ("the quote that is opened on line 3",),
    ),
    "nothing in it": (b"", (), 2, ("is empty: there is no header",)),
    "rubbish": (NOISE, (), 2, ("is not UTF-8", "iconv")),
    "cut off gzip": (
        gzip.compress(lines(*(GOOD.replace("00:00", f"{n // 60:02}:{n % 60:02}") for n in range(900))))[:-9],
        (),
        2,
        ("gzip", "cut off", "gzip -t"),
    ),
    "rubbish as gzip": (b"\x1f\x8b\x08" + NOISE, (), 2, ("gzip", "gzip -t")),
    "UTF-16": (lines(GOOD).decode().encode("utf-16"), (), 2, ("is UTF-16", "iconv -f UTF-16")),
}


@pytest.mark.parametrize("wrong", FILES)
def test_a_file_that_cannot_be_taken_leaves_nothing(commands: CommandLine, wrong: str) -> None:
    content, options, code, said = FILES[wrong]
    (commands.folder / "prices.csv").write_bytes(content)
    refused = commands("ingest", PRICES, "prices.csv", *options, code=code)
    first, *rest = refused.err.splitlines()
    assert first.startswith(
        "error: ingest: no time zone" if wrong == "no such zone" else f"error: ingest prices.csv into {PRICES}: "
    )
    assert [line[:6] for line in rest] in ([], [" hint:"]), "one error, and a hint"
    for words in said:
        assert words in refused.err
    assert refused.out == ""
    assert rows(commands) == 0


def a_folder(place: Path) -> None:
    place.mkdir()


def nothing(place: Path) -> None:
    """Leaves the place empty."""


def a_loop(place: Path) -> None:
    place.symlink_to(place)


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        (nothing, "No such file or directory\n hint: look at its name"),
        (a_folder, "is a folder\n hint: name its files: prices.csv/*.csv"),
        (a_loop, "Too many levels of symbolic links"),
    ],
)
def test_what_is_no_file(commands: CommandLine, made: Callable[[Path], None], cause: str) -> None:
    made(commands.folder / "prices.csv")
    refused = commands("ingest", PRICES, "prices.csv", code=2)
    assert f": {cause}" in refused.err
    assert refused.err.startswith("error: ingest prices.csv")


def test_files_before_the_wrong_one_are_in_and_it_is_named(commands: CommandLine) -> None:
    (commands.folder / "one.csv").write_bytes(lines(GOOD))
    (commands.folder / "two.csv").write_bytes(lines(GOOD.replace("A", "B"), GOOD))
    (commands.folder / "three.csv").write_bytes(lines(GOOD.replace("A", "C")))
    refused = commands("ingest", PRICES, "one.csv", "two.csv", "three.csv", "--strict", code=2)
    assert refused.out.splitlines()[0].startswith("one.csv → ")
    assert refused.err.startswith("not tried: three.csv\nerror: ingest two.csv into ")
    assert rows(commands) == 1


def test_rows_below_the_watermark_are_refused(commands: CommandLine) -> None:
    (commands.folder / "old.csv").write_bytes(lines(GOOD))
    (commands.folder / "older.csv").write_bytes(lines(GOOD.replace("2024", "2023"), GOOD.replace("2024", "2025")))
    commands("ingest", PRICES, "old.csv")
    commands("jobs", "run", "retention", "--as-of", "2024-06-01")
    assert rows(commands) == 0
    refused = commands("ingest", PRICES, "older.csv", "--strict", code=2)
    assert "line 2, column time: rows before 2024-01-03 00:00:00 UTC are gone" in refused.err
    assert rows(commands) == 0
    assert "1 inserted, 1 rejected" in commands("ingest", PRICES, "older.csv").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("ingest", "invest.intraday_price", "x.csv"), 2, ("no such dataset", "close to it: invest.intraday_prices")),
        (("ingest", "nonsense", "x.csv"), 2, ("ingest into nonsense: no such dataset", "close to it: ")),
        (("ingest", "invest.logs", "x.csv"), 2, ("'time' is none of the dataset's", "timestamp, level")),
        (("query", "invest.intraday_price"), 2, ("no such dataset", "did you mean invest.intraday_prices")),
        (("query", PRICES, "--from", "2024-02-30"), 2, ("read --from: '2024-02-30' is no moment", "write 2022-08-23")),
        (("query", PRICES, "--last", "7x"), 2, ("read --last: '7x' is no length of time", "5m")),
        (("query", PRICES, "--last", "9000y"), 2, ("read --last: '9000y' is too long",)),
        (("query", PRICES, "--bars", "0m"), 2, ("read --bars: '0m' is no length of time",)),
        (
            ("query", PRICES, "--from", "2024-02-02", "--to", "2024-02-01"),
            2,
            ("is no range", "--from lies before --to"),
        ),
        (("query", PRICES, "--from", "2024-02-02", "--last", "1d"), 2, ("--from and --last are both given",)),
        (("query", PRICES, "--columns", "time,prize"), 2, ("there is no column 'prize'", "It has time, symbol, price")),
        (("query", PRICES, "--bars", "1h", "--columns", "prize"), 2, ("there is no column 'prize'", "it has bucket")),
        (
            ("query", PRICES, "--where", "prize=1"),
            2,
            ("there is no column 'prize'", "did you mean price? It has time, symbol"),
        ),
        (("query", PRICES, "--where", "price"), 2, ("'price' is no column=value", "--where level=error")),
        (("query", PRICES, "--where", "price=high"), 2, ('invalid input syntax for type numeric: "high"',)),
        (("query", PRICES, "--bars", "1h", "--where", "price=1"), 2, ("bars are chosen by symbol alone",)),
        (("query", "invest.logs", "--bars", "1h"), 2, ("bars are of hypertables",)),
        (
            ("query", PRICES, "-o", "x.xls"),
            2,
            (".xls is no known kind of file", ".csv, .ndjson (also with .gz or .zst), .parquet, .png"),
        ),
        (("query", PRICES, "-o", "nowhere/x.csv"), 2, ("write nowhere/x.csv: No such file or directory",)),
        (("query", PRICES, "-o", "x.png"), 2, ("there is no row in this range",)),
        (("query", PRICES, "--bars", "1h", "-o", "x.png"), 2, ("there is no row in this range",)),
        (("jobs", "run", "retentio"), 2, ("run job retentio: no such job", "known: retention")),
        (("jobs", "run", "rollups", "--as-of", "yesterday"), 2, ("read --as-of: 'yesterday' is no moment",)),
        (("backup", "now", "mysql"), 2, ("no such store", "one of postgres, timescale, mongo, redis")),
        (("backup", "check", "redis", "nope"), 7, ("read redis/nope: there is no such backup",)),
        (("migrate", "rollback", "nope", "--yes"), 2, ("no such domain", "known: deals, defi, invest, rooms")),
        (("status", "--catalog", "nope"), 2, ("load catalogue nope", "module:NAME")),
        (("status", "--catalog", "nope:CATALOG"), 2, ("No module named 'nope'",)),
        (("status", "--catalog", "json:dumps"), 2, ("is a function, not a Catalog",)),
        (("status", "--catalog", "storekeeper.domains:NOPE"), 2, ("has no attribute 'NOPE'",)),
    ],
)
def test_a_wrong_argument(commands: CommandLine, arguments: tuple[str, ...], code: int, said: tuple[str, ...]) -> None:
    (commands.folder / "x.csv").write_bytes(lines(GOOD))
    refused = commands(*arguments, code=code)
    assert refused.out == ""
    assert refused.err.startswith("error: ")
    for words in said:
        assert words in refused.err
    told = commands(*arguments, "--json", code=code)
    assert told.out == ""
    assert set(told.error) == {"error", "operation", "target", "cause", "hint", "retryable"}
    assert told.error["operation"] or told.error["target"]
    assert told.error["cause"] in refused.err
    assert [path.name for path in commands.folder.iterdir()] == ["x.csv"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest", PRICES, "x.csv"),
        ("query", PRICES, "--last", "1d"),
        ("jobs", "run", "retention"),
        ("jobs", "run", "retention", "--dry-run"),
        ("jobs", "run", "rollups"),
        ("jobs", "history"),
    ],
)
def test_stores_that_are_not_migrated(unmigrated: CommandLine, arguments: tuple[str, ...]) -> None:
    (unmigrated.folder / "x.csv").write_bytes(lines(GOOD))
    refused = unmigrated(*arguments, "--json", code=3)
    assert refused.error["error"] == "NotMigratedError"
    assert "storekeeper migrate" in refused.error["hint"]
