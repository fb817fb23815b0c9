"""query, as people and pipes have it: tables that fit the terminal, files, lines for the next program, explanations."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rich.cells import cell_len

from command_line import CommandLine, clean_environment
from storekeeper import sample

PRICES = "invest.intraday_prices"
SYMBOL = "WETH-USDC@univ3-polygon"
ALL = ("--from", "2022-01-01")
ROWS = 50_390


@pytest.fixture
def filled(commands: CommandLine) -> CommandLine:
    """35 days of minute prices that ship with the package, and some users."""
    commands("ingest", PRICES, sample.path("quotes_minute"))
    with psycopg.connect(commands.settings["STOREKEEPER_POSTGRES_URL"]) as connection:
        connection.execute(
            "INSERT INTO invest.users (email, password_hash, first_name, last_name, preferences, created_at)"
            " SELECT 'u' || n || '@example.org', '$2b$secret', 'Ada', repeat('long ', 15), '{\"n\": 1.50}',"
            " timestamptz '2024-05-01Z' + make_interval(days => n) FROM generate_series(0, 59) AS n"
        )
    return commands


def on_terminal(commands: CommandLine, width: int, *arguments: str) -> list[str]:
    """What a terminal of that width is sent, without colours, both streams."""
    main, end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "storekeeper", *arguments],
        cwd=commands.folder,
        env={**clean_environment(), **commands.settings, "COLUMNS": str(width), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=end,
        stderr=end,
    ) as process:
        os.close(end)
        sent = b""
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:  # the other end has gone
                break
            if not piece:
                break
            sent += piece
        assert process.wait(timeout=60) == 0, sent
    os.close(main)
    return re.sub(r"\x1b\[[0-9;]*m", "", sent.decode()).splitlines()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_terminal_of_any_width_has_a_row_a_line(filled: CommandLine, width: int) -> None:
    bars = on_terminal(filled, width, "query", PRICES, "--bars", "1h", "--limit", "7", *ALL)
    rows = [line for line in bars if line.startswith("2022-08-22 ")]
    assert len(rows) == 7
    assert all(cell_len(line) <= width for line in bars), bars
    assert not any("…" in line for line in bars)
    exact = filled("query", PRICES, "--bars", "1h", "--limit", "7", *ALL, "--json").json
    assert (exact[-1]["close"] in rows[-1]) == (width == 140)
    assert "numbers rounded; --json and -o FILE have them exact" in " ".join(" ".join(bars).split()) or width == 140
    users = on_terminal(filled, width, "query", "invest.users", "--limit", "5")
    assert all(cell_len(line) <= width for line in users), users
    assert "@example.org" not in "".join(users)
    assert "secret" not in "".join(users)
    assert "not shown: " in " ".join(users)
    assert "password_hash" in " ".join(" ".join(users).partition("not shown: ")[2].split())


@pytest.mark.parametrize(("form", "ending"), [("csv", ".csv"), ("ndjson", ".ndjson")])
def test_a_pipe_has_lines_and_nothing_else(filled: CommandLine, form: str, ending: str) -> None:
    piped = filled.process("query", PRICES, *ALL, "--format", form)
    filled("query", PRICES, *ALL, "-o", f"file{ending}")
    assert piped.out == (filled.folder / f"file{ending}").read_text()
    assert piped.err == f"{ROWS:,} rows\n"
    lines = piped.out.splitlines()
    assert len(lines) == ROWS + (form == "csv")
    stream = filled.process("query", PRICES, *ALL, "-o", "-", "--format", form)
    assert stream.out == piped.out
    first: dict[str, Any] = (
        json.loads(lines[0], parse_float=Decimal) if form == "ndjson" else next(csv.DictReader(lines))
    )
    assert (first["time"], first["symbol"]) == ("2022-07-19T00:00:00Z", SYMBOL)
    assert str(first["price"]) == "1576.140653"


def test_a_reader_that_goes_away(filled: CommandLine) -> None:
    command = f"{shlex.quote(sys.executable)} -m storekeeper query {PRICES} --from 2022-01-01 --format csv"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 2; echo ${{PIPESTATUS[0]}}"],
        cwd=filled.folder,
        env={**clean_environment(), **filled.settings},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[0] == "time,symbol,price,volume,bid,ask"
    assert (done.stdout.splitlines()[2:], done.stderr) == (["141"], "")


def test_what_a_csv_file_holds_can_be_put_in_again(filled: CommandLine) -> None:
    """Exactly: the rows are taken for those that are there."""
    filled("query", PRICES, *ALL, "-o", "again.csv.gz")
    done = filled("ingest", PRICES, "again.csv.gz", "--again", "--on-conflict", "update", "--json").json
    assert (done["rows"], done["inserted"], done["updated"]) == (ROWS, 0, 0)


def test_a_range_that_holds_nothing_says_where_the_rows_are(filled: CommandLine) -> None:
    lie = "its rows lie from 2022-07-19 00:00 to 2022-08-22 23:59 UTC"
    assert filled("query", PRICES, "--last", "7d").err == f"0 rows ({lie})\n"
    assert filled("query", PRICES, "--last", "7d", "--json").json == []
    assert "lie from 2024-05-01 00:00 to 2024-06-29 00:00 UTC" in filled("query", "invest.users", "--last", "1h").err
    empty = filled("query", "invest.stock_prices_5min").err
    assert "the rollup is empty: `storekeeper jobs run rollups` fills it" in empty
    assert filled("query", "invest.stock_prices").err == "0 rows (the dataset is empty)\n"


def test_without_a_range_it_is_the_newest_day(filled: CommandLine) -> None:
    said = filled("query", PRICES, "--limit", "2")
    assert [line.split()[1] for line in said.out.splitlines()[2:]] == ["23:58", "23:59"]
    assert "the newest; --limit 2; the day up to the newest row, 2022-08-22 23:59 UTC: --from, --to" in said.err
    assert filled("query", PRICES, "-o", "day.csv").err.startswith("1,440 rows → day.csv (the day up to")
    assert len(filled("query", PRICES, "--bars", "1d", "--json").json) == 35
    assert len(filled("query", PRICES, "--to", "2022-08-01", "--json", "--limit", "9999").json) == 1440
    users = filled("query", "invest.users", "--json", "--limit", "99").json
    assert len(users) == 60
    assert {"email", "password_hash"}.isdisjoint(users[0])
    named = filled("query", "invest.users", "--columns", "email", "--json", "--limit", "1").json
    assert named == [{"email": "u59@example.org"}]
    assert users[0]["preferences"] == {"n": 1.5}
    assert filled("query", "invest.users", "--columns", "password_hash", "--limit", "1").out.count("$2b$secret") == 1


def test_an_explanation_runs_nothing(filled: CommandLine) -> None:
    shown = filled("query", PRICES, "--bars", "15m", "-s", SYMBOL, "--to", "2022-08-20", "--explain").out
    for words in (
        "Answered by",
        f"{PRICES}: 1 of 35",
        "Values",
        f'"{SYMBOL}"',
        "Plan (EXPLAIN, not run)",
        "changed since",
    ):
        assert words in shown
    filled("jobs", "run", "rollups", "--as-of", "2022-08-23")
    told = filled("query", PRICES, "--bars", "15m", "-s", SYMBOL, "--to", "2022-08-20", "--explain", "--json").json
    assert [(part["source"], part["from"], part["to"]) for part in told["parts"]] == [
        ("invest.stock_prices_5min", "2022-08-19T00:00:00Z", "2022-08-20T00:00:00Z")
    ]
    touched = {one["dataset"]: one["touched"] for one in told["chunks"]}
    assert (touched[PRICES], touched["invest.stock_prices_5min"] >= 1) == (0, True)
    assert SYMBOL not in told["sql"]
    assert [SYMBOL] in told["parameters"].values()
    unlimited = filled("query", PRICES, *ALL, "--explain", "-o", "never.csv").out
    assert "35 of 35" in unlimited
    assert not (filled.folder / "never.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("invest.user",), ("no such dataset", "did you mean invest.users")),
        (("invest.users", "--where", "emial=x"), ("there is no column 'emial'", "did you mean email?")),
        (("invest.users", "--columns", "id,id"), ("asked for twice: id",)),
        (("invest.users", "--bars", "5m"), ("is a table, and bars are of hypertables", "leave out `every` (--bars)")),
        (("invest.stock_prices_5min", "--bars", "5m"), ("is a rollup", f"ask for bars of {PRICES}")),
        (("invest.users", "-s", "x"), ("has no symbol", "--where COLUMN=VALUE")),
        (("invest.users", "--time-column", "email"), ("email is no time of it", "created_at")),
        (("invest.users", "--where", "id=x"), ('invalid input syntax for type uuid: "x"',)),
        (("invest.users", "--where", "preferences<1"), ("< is not for lists and objects", "= or !=")),
        (("invest.users", "-o", "x.png"), ("is a table, and pictures are of series", ".csv")),
        ((PRICES, "-o", "x.parquet.gz"), ("parquet is not packed a second time",)),
        ((PRICES, "--bars", "1d", "--zone", "Mars/X"), ("there is no time zone 'Mars/X'", "America/New_York")),
        ((PRICES, "--bars", "1d", "--origin", "25:00"), ("neither a time of day nor a moment", "09:30")),
        ((PRICES, "--gaps", "last"), ("rows were asked for", "--bars")),
        ((PRICES, "--bars", "36h", "--zone", "Asia/Tokyo"), ("neither parts of a day nor whole days",)),
        ((PRICES, "-o", "-"), ("say which lines the pipe is to get", "--format csv")),
        ((PRICES, "--format", "png"), ("png is not for a pipe", "-o FILE")),
    ],
)
def test_what_is_wrong_is_said(commands: CommandLine, arguments: tuple[str, ...], said: tuple[str, ...]) -> None:
    refused = commands("query", *arguments, code=2)
    assert refused.out == ""
    for words in said:
        assert words in refused.err
    assert list(commands.folder.iterdir()) == []


def test_json_and_lines_are_not_both(commands: CommandLine) -> None:
    refused = commands("query", PRICES, "--json", "--format", "csv", code=2).error
    assert refused["cause"] == "--json and --format csv are both given"


def test_a_full_disk(filled: CommandLine) -> None:
    refused = filled("query", PRICES, *ALL, "-o", "/dev/full", "--format", "csv", code=3)
    assert "write /dev/full: no room is left on the disk" in refused.err


def test_a_picture_without_matplotlib(filled: CommandLine, tmp_path: Path) -> None:
    """The module is kept out of the way, as where it is not installed."""
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "matplotlib.py").write_text("raise ImportError('not here')\n")
    refused = filled.process("query", PRICES, "-o", "x.png", code=4, PYTHONPATH=str(tmp_path / "away"))
    assert "matplotlib is not installed" in refused.err
    assert "pip install 'storekeeper[analytics]'" in refused.err
    assert not (filled.folder / "x.png").exists()


def test_only_the_store_that_holds_it_is_asked(filled: CommandLine) -> None:
    nowhere = "mongodb://127.0.0.1:1"
    found = filled("query", PRICES, "--limit", "1", "--json", STOREKEEPER_MONGO_URL=nowhere)
    assert len(found.json) == 1
    refused = filled("query", "invest.logs", code=3, STOREKEEPER_MONGO_URL=nowhere)
    assert "no server listens" in refused.err


def test_bars_of_a_place_with_their_gaps(filled: CommandLine, tmp_path: Path) -> None:
    """Hours from 09:30 in New York; daily bars of a weekend; a picture."""
    day = ("--from", "2022-08-19T13:30Z", "--to", "2022-08-19T15:30Z")
    place = ("--zone", "America/New_York", "--origin", "09:30")
    hours = filled("query", PRICES, "-s", SYMBOL, "--bars", "1h", *place, *day, "--json").json
    assert [bar["bucket"] for bar in hours] == ["2022-08-19T13:30:00Z", "2022-08-19T14:30:00Z"]
    late = ("--from", "2022-08-22T23:00Z", "--to", "2022-08-23T02:00Z")
    carried = filled("query", PRICES, "-s", SYMBOL, "--bars", "1h", "--gaps", "last", *late, "--json").json
    assert [bar["count"] for bar in carried] == [60, 0, 0]
    assert len({bar["close"] for bar in carried}) == 1
    picture = tmp_path / "days.png"
    filled("query", PRICES, "-s", SYMBOL, "--bars", "1d", "--zone", "Asia/Kolkata", *ALL, "-o", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
