"""Ctrl-C and kill -9 in the middle of a command: the same command again ends where an undisturbed one would have."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from command_line import CommandLine
from processes import processes_of
from storekeeper import sample

pytestmark = pytest.mark.faults

PRICES = "invest.intraday_prices"
SIGNALS = (signal.SIGINT, signal.SIGKILL)
ROWS = 400_000


@contextmanager
def connected(commands: CommandLine) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with psycopg.connect(commands.settings["STOREKEEPER_POSTGRES_URL"], autocommit=True) as connection:
        yield connection


def until(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Waits until it is so, while the process runs."""
    deadline = time.monotonic() + 60
    while not condition():
        assert process is None or process.poll() is None, "ended too soon"
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def ended(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """The command ends by the signal: as documented by Ctrl-C, at once by kill -9."""
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if number is signal.SIGINT:
        assert (process.returncode, err) == (130, "interrupted; run the same command again to go on\n")
    else:
        assert process.returncode == -signal.SIGKILL


def interrupted(
    commands: CommandLine, number: signal.Signals, arguments: tuple[object, ...], middle: Callable[[], object]
) -> None:
    """Runs a command up to its middle, where it is interrupted."""
    with commands.started(*arguments) as process:
        until(middle, process)
        ended(process, number)


def one(connection: psycopg.Connection[tuple[Any, ...]], query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row is not None and len(row) == 1 else row


def test_ingest(commands: CommandLine) -> None:
    """A file is in whole, or not at all."""
    file = commands.folder / "large.csv"
    with file.open("w") as text:
        text.write("time,symbol,price,volume\n")
        text.writelines(
            f"2024-05-{1 + n // 86400:02}T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}Z,A,{1 + n},2\n"
            for n in range(ROWS)
        )
    with connected(commands) as connection:

        def copying() -> object:
            return one(
                connection,
                "SELECT count(*) FROM pg_stat_progress_copy WHERE datname = current_database() "
                "AND tuples_processed > 0",
            )

        for number in SIGNALS:
            interrupted(commands, number, ("ingest", PRICES, file), copying)
            until(lambda: not copying())
            assert one(connection, f"SELECT count(*) FROM {PRICES}") == 0
        assert f"{ROWS:,} rows" in commands("ingest", PRICES, file).out
        assert one(connection, f"SELECT count(*), sum(price) FROM {PRICES}") == (ROWS, ROWS * (ROWS + 1) // 2)


def relations(connection: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return connection.execute("""
        SELECT relnamespace::regnamespace::text, relname, relkind::text FROM pg_class
        WHERE relnamespace IN ('storekeeper'::regnamespace, 'invest'::regnamespace) ORDER BY 1, 2
    """).fetchall()


def test_migrate(unmigrated: CommandLine, migrated_url: str) -> None:
    with connected(unmigrated) as connection:
        for number, sign in zip(SIGNALS, ("storekeeper.runs", "storekeeper.watermarks"), strict=True):
            made = f"SELECT to_regclass('{sign}') IS NOT NULL"
            interrupted(unmigrated, number, ("migrate",), lambda made=made: one(connection, made))  # type: ignore[misc]  # a default binds the loop's value
        assert unmigrated("status", "--json").json["pending"] != []
        unmigrated("migrate")
        with psycopg.connect(migrated_url) as undisturbed:
            # views through which services see rollups are made where services have a role of their own
            whole = [one for one in relations(undisturbed) if not one[1].startswith("shown_")]
            assert relations(connection) == whole
    status = unmigrated("status", "--json").json
    assert (status["pending"], status["drift"]) == ([], [])
    assert "nothing to do" in unmigrated("migrate").out


def contents(commands: CommandLine) -> list[Any]:
    """All rows of the prices and of their rollups, what is noted of them, and which chunks there are."""
    queries = [
        f"SELECT md5(string_agg(t::text, chr(10) ORDER BY t)) FROM {name} AS t"
        for name in (PRICES, "invest.stock_prices_5min", "invest.stock_prices_1h", "storekeeper.watermarks")
    ]
    queries += [
        "SELECT array_agg((dataset, lower, upper)::text ORDER BY dataset, lower, upper) FROM storekeeper.invalidations",
        "SELECT array_agg(relname::text ORDER BY relname) FROM pg_class WHERE relname LIKE 'intraday_prices_p%' "
        "AND relkind = 'r'",
    ]
    with connected(commands) as connection:
        return [one(connection, query) for query in queries]


def test_rollups_and_retention(commands: CommandLine) -> None:
    """Rollups wait for a table that somebody else holds, retention for a chunk; there they are interrupted."""
    rollups = ("jobs", "run", "rollups", "--as-of", "2022-08-23")
    retention = ("jobs", "run", "retention", "--as-of", "2022-08-23")
    commands("ingest", PRICES, sample.path("quotes_minute"))
    with connected(commands) as watching, connected(commands) as holding:

        def waiting(table: str) -> Callable[[], object]:
            query = f"SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = to_regclass('{table}')"
            return lambda: one(watching, query)

        for number, table in zip(SIGNALS, ("invest.stock_prices_5min", "invest.stock_prices_1h"), strict=True):
            with holding.transaction():
                holding.execute(f"LOCK TABLE {table} IN SHARE MODE")
                interrupted(commands, number, rollups, waiting(table))
            until(lambda table=table: not waiting(table)())  # type: ignore[misc]  # a default binds the loop's value
            assert one(watching, f"SELECT count(*) FROM {table}") == 0
        commands(*rollups)
        for number, day in zip(SIGNALS, (20, 22), strict=True):
            chunk = f"invest.intraday_prices_p202207{day}"
            with holding.transaction():
                holding.execute(f"SELECT FROM {chunk} LIMIT 1")
                interrupted(commands, number, retention, waiting(chunk))
            assert one(watching, f"SELECT to_regclass('invest.intraday_prices_p202207{day - 1}')") is None
            assert one(watching, f"SELECT to_regclass('{chunk}')") is not None
    commands(*retention)
    states = [(run["job"], run["state"]) for run in commands("jobs", "history", "--json").json]
    assert states == [(job, state) for job in ("retention", "rollups") for state in ("done", "died", "cancelled")]
    disturbed = contents(commands)
    with connected(commands) as connection:
        connection.execute(f"TRUNCATE {PRICES}, invest.stock_prices_5min, invest.stock_prices_1h")
        connection.execute("DELETE FROM storekeeper.invalidations")
        connection.execute("UPDATE storekeeper.watermarks SET dropped_before = NULL")
    commands("ingest", PRICES, sample.path("quotes_minute"), "--again")
    commands(*rollups)
    commands(*retention)
    assert contents(commands) == disturbed


@pytest.mark.parametrize("number", SIGNALS)
def test_backup(commands: CommandLine, number: signal.Signals) -> None:
    """What was begun is not taken for a backup, and goes with the next one."""
    repository = Path(commands.settings["STOREKEEPER_BACKUPS"])
    interrupted(
        commands,
        number,
        ("backup", "now", "postgres"),
        lambda: any(f.is_file() for f in repository.rglob("PG_VERSION")),
    )
    until(lambda: not processes_of(repository))
    assert commands("backup", "list", "--json").json == []
    commands("backup", "now", "postgres")
    (made,) = commands("backup", "list", "--json").json
    assert made["problem"] is None
    assert commands("backup", "check", made["server"], made["label"], "--json").json["bytes"] == made["bytes"]
    assert [entry.name for entry in (repository / "postgres").iterdir() if entry.is_dir()] == [made["label"]]


def test_up(tmp_path: Path) -> None:
    """In the foreground: interrupted while it starts, killed when it is ready, the next one is up at once."""
    alone = CommandLine(tmp_path, {})
    with alone.started("up") as process:
        until((tmp_path / ".storekeeper" / "postgres").exists, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode in (0, 130)
    assert processes_of(tmp_path) == []
    with alone.started("up") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"up: {tmp_path}/.storekeeper; Ctrl-C stops it\n"
        process.kill()
        process.communicate(timeout=60)
    with alone.started("up") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"up: {tmp_path}/.storekeeper; Ctrl-C stops it\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
    until(lambda: not processes_of(tmp_path))
    assert "no stack runs in .storekeeper" in alone("status", code=2).err
