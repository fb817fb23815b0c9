"""Two processes that do the same at the same moment: both end well, and what they did is done once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from command_line import CommandLine
from storekeeper.ledger.locks import migration_lock

PRICES = "invest.intraday_prices"


LOCKS = """
    SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
#: Migrations ask for their lock again and again, by the first of their sessions, and lie idle between.
MIGRATIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'storekeeper migrate' AND query = 'COMMIT'
"""


@contextmanager
def held(commands: CommandLine, hold: str, waiting: str = LOCKS) -> Iterator[Callable[[], None]]:
    """Holds a lock; what it gives waits until two sessions want that lock, and lets both go at the same moment."""
    address = commands.settings["STOREKEEPER_POSTGRES_URL"]
    with psycopg.connect(address) as holding, psycopg.connect(address, autocommit=True) as watching:
        holding.execute(hold.encode())

        def let_both_go() -> None:
            deadline = time.monotonic() + 60
            while watching.execute(waiting).fetchone() != (2,):
                assert time.monotonic() < deadline, "they do not wait"
                time.sleep(0.01)
            holding.rollback()

        yield let_both_go


def ended_well(*processes: subprocess.Popen[str]) -> list[str]:
    """What they said."""
    said = []
    for process in processes:
        out, err = process.communicate(timeout=60)
        # one that waited for long may report its wait as a slow query
        assert (process.returncode, "error:" in err) == (0, False), err
        said.append(out)
    return said


def test_two_files_go_into_one_hypertable(commands: CommandLine) -> None:
    """Both need chunks that are not there, and the same ones."""
    for name in ("A", "B"):
        rows = [f"2024-05-{day:02}T00:{minute:02}Z,{name},{day},1" for day in range(1, 29) for minute in range(30)]
        (commands.folder / f"{name}.csv").write_text("\n".join(["time,symbol,price,volume", *rows, ""]))
    with held(commands, f"LOCK TABLE {PRICES} IN ACCESS EXCLUSIVE MODE") as let_both_go:
        with commands.started("ingest", PRICES, "A.csv") as one, commands.started("ingest", PRICES, "B.csv") as other:
            let_both_go()
            ended_well(one, other)
    with psycopg.connect(commands.settings["STOREKEEPER_POSTGRES_URL"]) as connection:
        counted = connection.execute(
            f"SELECT symbol, count(*), sum(price) FROM {PRICES} GROUP BY 1 ORDER BY 1"
        ).fetchall()
        chunks = connection.execute(
            f"SELECT count(*) FROM pg_inherits WHERE inhparent = '{PRICES}'::regclass"
        ).fetchone()
    assert counted == [("A", 28 * 30, 30 * 28 * 29 // 2), ("B", 28 * 30, 30 * 28 * 29 // 2)]
    assert chunks == (28,)


def test_two_migrations(unmigrated: CommandLine) -> None:
    planned = [step["action"] for step in unmigrated("migrate", "--plan", "--json").json["steps"]].count("upgrade")
    lock = migration_lock("postgres")
    hold = f"SELECT pg_advisory_xact_lock({lock.namespace}, {lock.key})"
    with held(unmigrated, hold, MIGRATIONS) as let_both_go:
        with unmigrated.started("migrate", "--json") as one, unmigrated.started("migrate", "--json") as other:
            let_both_go()
            answers = ended_well(one, other)
    assert planned
    assert sorted(out.count('"upgrade"') for out in answers) == [0, planned]
    status = unmigrated("status", "--json").json
    assert (status["pending"], status["drift"]) == ([], [])


def test_a_job_that_runs_already(commands: CommandLine) -> None:
    """The second one says who runs it."""
    rows = [f"2022-08-{day:02}T00:00Z,A,{day},1" for day in range(1, 11)]
    (commands.folder / "A.csv").write_text("\n".join(["time,symbol,price,volume", *rows, ""]))
    commands("ingest", PRICES, "A.csv")
    arguments = ("jobs", "run", "retention", "--as-of", "2023-01-01")
    with psycopg.connect(commands.settings["STOREKEEPER_POSTGRES_URL"]) as holding:
        holding.execute("LOCK TABLE invest.stock_prices_5min IN SHARE MODE")
        with commands.started(*arguments) as first:
            deadline = time.monotonic() + 60
            while not commands("jobs", "history", "--json").json:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            refused = commands(*arguments, "--json", code=6).error
            assert (refused["error"], refused["retryable"]) == ("AlreadyRunningError", True)
            assert f":{first.pid}" in refused["cause"]
            holding.rollback()
            assert first.wait(60) == 0
    (run,) = commands("jobs", "history", "--json").json
    assert (run["job"], run["state"]) == ("retention", "done")
