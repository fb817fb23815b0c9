"""The README's own commands, to the letter, by a newcomer in an empty folder; then the stack is gone."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pymongo
import pytest
import redis

from command_line import Answer, CommandLine
from processes import processes_of

README = Path(__file__).parents[2] / "README.md"
FIRST = datetime(2016, 10, 6, tzinfo=UTC)
DAYS = 3


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[CommandLine]:
    """An empty folder; a stack that runs in it is stopped, whatever happens."""
    command_line = CommandLine(tmp_path, {})
    yield command_line
    with command_line.started("down") as process:
        process.communicate(timeout=60)


def readme_commands() -> list[list[str]]:
    """The storekeeper commands of "Use it", as a shell would take them apart."""
    section = README.read_text().partition("## Use it\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^storekeeper (.*)$", section.partition("```python")[0], flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def write_prices(path: Path) -> int:
    """One price a minute over three days, as the README's command maps them; returns how many."""
    minutes = DAYS * 24 * 60
    with gzip.open(path, "wt") as file:
        file.write("ts_utc,symbol,market,close,volume\n")
        for minute in range(minutes):
            moment = FIRST + timedelta(minutes=minute)
            file.write(f"{moment:%Y-%m-%dT%H:%M:%SZ},BTCUSD,coinbase,{610 + minute % 77 / 8:.3f},{minute % 5}\n")
    return minutes


def test_the_commands_of_the_readme(newcomer: CommandLine) -> None:
    folder = newcomer.folder
    count = write_prices(folder / "prices.csv.gz")
    answers: dict[str, Answer] = {}
    for arguments in readme_commands():
        if arguments[0] == "run":
            scheduler_runs_and_ends(newcomer)
        elif arguments[0] == "down":
            urls_serve_other_programs(newcomer)
            second_up_points_at_the_first(newcomer)
            answers["down"] = newcomer.process(*arguments)
        else:
            answers[" ".join(arguments)] = newcomer.process(*arguments)
    by_start = {start: [a for c, a in answers.items() if c.startswith(start)] for start in ("up", "migrate", "ingest")}
    assert "next: storekeeper migrate" in by_start["up"][0].out
    assert "Done: " in by_start["migrate"][0].out
    assert f"{count:,} rows" in by_start["ingest"][0].out
    table, picture = (answer for command, answer in answers.items() if command.startswith("query"))
    assert table.out.splitlines()[0].split()[:6] == ["bucket", "symbol", "open", "high", "low", "close"]
    assert "2016-10-07 04:05  BTCUSD@coinbase" in table.out or "2016-10-07 23:55  BTCUSD@coinbase" in table.out
    assert picture.err == "24 rows → bars.png\n"
    assert (folder / "bars.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    (retention,) = (answer for command, answer in answers.items() if command.startswith("jobs run retention"))
    assert "dry run: nothing was changed" in retention.out
    assert retention.out.count("drop chunk") == DAYS
    (status,) = (answer for command, answer in answers.items() if command == "status")
    assert re.search(r"^invest\.intraday_prices +3 +4,320 ", status.out, flags=re.MULTILINE)
    nothing_answers_any_more(newcomer)


def scheduler_runs_and_ends(newcomer: CommandLine) -> None:
    """`run` says what it runs, a second one points at it, and Ctrl-C ends it well."""
    with newcomer.started("run") as first:
        assert first.stderr is not None
        said = first.stderr.readline()
        assert "rollups (every 5m)" in said
        while "retention as of " not in said:  # it was missed, and these prices are years old
            said = first.stderr.readline()
            assert said, "the scheduler ended"
        second = newcomer.process("run", code=6)
        assert f"runs already by {os.uname().nodename}:{first.pid} since" in second.err
        assert "hint: wait until it ends, or stop that process" in second.err
        first.send_signal(signal.SIGINT)
        _, rest = first.communicate(timeout=60)
        assert first.returncode == 0, rest


def urls_serve_other_programs(newcomer: CommandLine) -> None:
    """The lines of `env` are a shell's, and the drivers take the URLs."""
    urls = {}
    for line in newcomer.process("env").out.splitlines():
        export, assignment = shlex.split(line)
        name, _, value = assignment.partition("=")
        assert export == "export"
        urls[name.removeprefix("STOREKEEPER_").removesuffix("_URL").lower()] = value
    of_roles = [f"{store}_{role}" for store in ("postgres", "timescale") for role in ("owner", "jobs", "analyst")]
    assert sorted(urls) == sorted(["mongo", "postgres", "redis", "timescale", *of_roles])
    for store in ("postgres_analyst", "timescale_analyst"):
        with psycopg.connect(urls[store]) as connection:
            counted = connection.execute("SELECT count(*) FROM invest.stock_prices_1h").fetchone()
            assert counted == (DAYS * 24,), "bars outlive the prices that the scheduler dropped"
    with pymongo.MongoClient[dict[str, object]](urls["mongo"]) as mongo:
        assert sorted(mongo["storekeeper_invest"].list_collection_names()) == ["analytics", "logs", "ml_results"]
    with redis.Redis.from_url(urls["redis"]) as client:
        assert client.ping() is True


def second_up_points_at_the_first(newcomer: CommandLine) -> None:
    """Detached or not."""
    first = newcomer.process("status", "--json").json["servers"]
    assert {server["state"] for server in first} == {"up"}
    for options in (("--detach",), ()):
        again = newcomer.process("up", *options, code=8)
        assert re.search(r"up already: process \d+, since 20", again.err)
        assert "storekeeper down" in again.err
    assert [s["pid"] for s in newcomer.process("status", "--json").json["servers"]] == [s["pid"] for s in first]


def nothing_answers_any_more(newcomer: CommandLine) -> None:
    """After `down` every command says what to do, and no process of the stack is left."""
    for command in (("status",), ("env",), ("query", "invest.intraday_prices"), ("jobs", "history"), ("migrate",)):
        refused = newcomer.process(*command, code=2)
        assert "no URL is set, and no stack runs in .storekeeper" in refused.err
        assert "hint: run `storekeeper up --detach`, or set STOREKEEPER_" in refused.err
    assert "storekeeper up" in newcomer.process("down", code=8).err
    deadline = time.monotonic() + 10
    while left := processes_of(newcomer.folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
