"""Files on bad days: whoever dies or gets in the way, a file is in whole or not at all, and no row is there twice."""

from __future__ import annotations

import fcntl
import gzip
import os
import random
import signal
import subprocess
import sys
import termios
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings

from command_line import CommandLine
from row_files import counts, ingested, opened, rejects_of, stored
from storekeeper import connect
from storekeeper.cli.failing import exit_code
from storekeeper.errors import ConflictError, InputError, StoreError, StorekeeperError, UnavailableError
from storekeeper.ingest.progress import Progress
from storekeeper.ingest.readers import csv_input
from storekeeper.platform import Platform
from storekeeper.servers import running_stack
from storekeeper.timescale.partitions import PartitionsEngine
from timescale_series import CATALOG, in_database, prepare

pytestmark = pytest.mark.faults

PRICES, VALUES = "invest.intraday_prices", "lab.values"
HEADERS = {
    PRICES: "time,symbol,price,volume",
    VALUES: "time,index_symbol,value,volume",
    "lab.ticks": "time,symbol,price,volume",
}
START = datetime(2014, 5, 1, tzinfo=UTC)
PIECE = 1_000
ROUNDS = max(2, settings().max_examples // 40)


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with opened(migrated_url) as platform:
        yield platform


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens between two pieces does so in small files too."""
    monkeypatch.setattr(csv_input, "PIECE_ROWS", PIECE)


def row(number: int, symbol: str = "A", price: int = 1) -> str:
    return f"{START + timedelta(minutes=number):%Y-%m-%dT%H:%M:%SZ},{symbol},{price},{number}"


def write(folder: Path, dataset: str, rows: list[str], name: str = "rows.csv") -> Path:
    file = folder / name
    content = "\n".join([HEADERS[dataset], *rows, ""]).encode()
    file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return file


def sums(platform: Platform, dataset: str) -> tuple[Any, ...]:
    """(rows, different keys, the sum of the volumes, files that count as ingested)."""
    symbol = HEADERS[dataset].split(",")[1]
    ledger = "storekeeper.ingested_files" if dataset == VALUES else "storekeeper.ingested_series_files"
    query = f"SELECT count(*), count(DISTINCT (time, {symbol})), coalesce(sum(volume), 0)::int FROM {dataset}"
    return (*stored(platform, query)[0], stored(platform, f"SELECT count(*) FROM {ledger}")[0][0])


NOTHING = (0, 0, 0, 0)


def after_piece(number: int, act: Callable[[], object]) -> Callable[[Progress], None]:
    """Acts once, when so many pieces were taken."""
    seen: list[Progress] = []

    def moved(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == number:
            act()

    return moved


def refused(kind: type[StoreError], code: int, ingest: Callable[[], object]) -> StoreError:
    with pytest.raises(kind) as caught:
        ingest()
    assert exit_code(caught.value) == code
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("version", [False, True])
def test_killed_at_any_moment_the_next_run_takes_every_row_once(commands: CommandLine, version: bool) -> None:
    """A kill that comes too late finds the file ingested, and the next run says so."""
    rows = [row(n, price=1 if n % 1000 else -1) for n in range(30_000)]
    url = commands.settings["STOREKEEPER_POSTGRES_URL"]
    arguments = ("--version", "volume") if version else ()
    whole = (30_000 - 30, 30_000 - 30, sum(n for n in range(30_000) if n % 1000), 1)
    chance = random.Random(commands.folder.name)
    write(commands.folder, PRICES, rows)
    with connect(stores=("timescale",), timescale_url=url, postgres_url=url) as platform:
        started = time.monotonic()
        commands.process("ingest", PRICES, "rows.csv", "--dry-run", *arguments)
        length = time.monotonic() - started
        assert sums(platform, PRICES) == NOTHING
        for _ in range(ROUNDS):
            with commands.started("ingest", PRICES, "rows.csv", *arguments) as process:
                time.sleep(chance.uniform(0.3, 1.1) * length)
                process.send_signal(signal.SIGKILL)
                process.wait(30)
            wait_for_no_others(url)
            found = sums(platform, PRICES)
            assert found in (NOTHING, whole)
            if found == whole:
                assert "was ingested" in commands("ingest", PRICES, "rows.csv", code=2).err
                clear(url)
        assert "29,970 inserted" in commands("ingest", PRICES, "rows.csv", *arguments).out
        assert sums(platform, PRICES) == whole
    names = sorted(path.name for path in commands.folder.iterdir())
    assert not [name for name in names if "partial" in name]
    newest = max(commands.folder.glob("*.rejects*.csv"), key=lambda path: path.stat().st_mtime)
    assert [place for place, *_ in rejects_of(newest)] == list(range(2, 30_000, 1000))


def wait_for_no_others(url: str) -> None:
    """The server notices a little later that a client has died."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL "
        "AND backend_type = 'client backend'"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        deadline = time.monotonic() + 30
        while connection.execute(query).fetchone() != (1,):
            assert time.monotonic() < deadline, "a session of a dead client goes on"
            time.sleep(0.02)


def clear(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(f"TRUNCATE {PRICES}, storekeeper.ingested_series_files")


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("on_conflict", ["error", "skip"])
@pytest.mark.parametrize("dataset", [PRICES, VALUES])
def test_a_connection_that_is_cut_leaves_nothing(
    platform: Platform, migrated_url: str, tmp_path: Path, dataset: str, on_conflict: str
) -> None:
    file = write(tmp_path, dataset, ["bad", *(row(n) for n in range(5 * PIECE))])

    def cut() -> None:
        query = (
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        )
        with psycopg.connect(migrated_url) as connection:
            assert connection.execute(query).fetchall() == [(True,)]

    options: dict[str, Any] = {"on_conflict": on_conflict, "rejects": tmp_path}
    error = refused(
        UnavailableError, 3, lambda: ingested(platform, dataset, file, progress=after_piece(2, cut), **options)
    )
    assert str(error).startswith(f"ingest rows.csv into {dataset}: ")
    assert sums(platform, dataset) == NOTHING
    assert [path.name for path in tmp_path.glob("*rows*")] == ["rows.csv"]
    assert counts(ingested(platform, dataset, file, **options)) == (5 * PIECE, 0, 0, 0, 1)
    assert sums(platform, dataset)[:2] == (5 * PIECE, 5 * PIECE)


@pytest.mark.usefixtures("small_pieces")
def test_a_server_that_is_killed_leaves_nothing_and_takes_all_later(tmp_path: Path) -> None:
    file = write(tmp_path, "lab.ticks", [row(n) for n in range(5 * PIECE)])
    with running_stack(tmp_path / "stack", stores=("postgres",)) as stack:
        url = stack.urls.postgres
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE lab")
        url = in_database(url, "lab")
        prepare(url, PartitionsEngine())
        [server] = stack.state.servers
        with connect(catalog=CATALOG, stores=("timescale",), timescale_url=url) as platform:

            def kill() -> None:
                os.kill(server.pid, signal.SIGKILL)

            refused(UnavailableError, 3, lambda: ingested(platform, "lab.ticks", file, progress=after_piece(2, kill)))
            deadline = time.monotonic() + 60
            while not platform.timescale.health().ok:
                assert time.monotonic() < deadline, "the server did not come back"
                time.sleep(0.05)
            assert sums(platform, "lab.ticks") == NOTHING
            assert counts(ingested(platform, "lab.ticks", file)) == (5 * PIECE, 0, 0, 0, 0)
            assert sums(platform, "lab.ticks")[:2] == (5 * PIECE, 5 * PIECE)


#: Ingests with its rejects on a disk of 64 KiB.
ON_A_SMALL_DISK = """
import subprocess, sys
from pathlib import Path
from row_files import ingested, opened
from storekeeper.cli.failing import exit_code
from storekeeper.errors import StorekeeperError

url, file, place = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
with opened(url) as platform:
    try:
        ingested(platform, "lab.values", Path(file), rejects=Path(place))
    except StorekeeperError as error:
        print(exit_code(error), error)
print("stayed:", [path.name for path in Path(place).iterdir()])
"""


def test_a_full_disk_under_the_reject_file_leaves_nothing(
    platform: Platform, migrated_url: str, tmp_path: Path
) -> None:
    file = write(tmp_path, VALUES, [row(0), *("bad" * 10 for _ in range(5_000))])
    said = on_a_small_disk(ON_A_SMALL_DISK, tmp_path, migrated_url, str(file))
    assert said.startswith("3 write rejects to ")
    assert "its disk has no room left" in said
    assert said.endswith("stayed: []\n")
    assert sums(platform, VALUES) == NOTHING
    assert counts(ingested(platform, VALUES, file, rejects=tmp_path)) == (1, 0, 0, 0, 5_000)


#: A server whose disk fills up, and has room again.
SERVER_ON_A_SMALL_DISK = """
import os, subprocess, sys, time
from pathlib import Path
import psycopg
from row_files import ingested
from storekeeper import connect
from storekeeper.cli.failing import exit_code
from storekeeper.errors import StorekeeperError
from storekeeper.servers import running_stack
from storekeeper.timescale.partitions import PartitionsEngine
from timescale_series import CATALOG, in_database, prepare

file, place = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", place], check=True)
with running_stack(Path(place, "stack"), stores=("postgres",)) as stack:
    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE lab")
        url = in_database(stack.urls.postgres, "lab")
        prepare(url, PartitionsEngine())
        connection.execute("CHECKPOINT")
    free = os.statvfs(place)
    ballast = Path(place, "ballast")
    with ballast.open("wb") as full:
        os.posix_fallocate(full.fileno(), 0, free.f_bavail * free.f_frsize - (20 << 20))
    with connect(catalog=CATALOG, stores=("timescale",), timescale_url=url) as platform:
        try:
            ingested(platform, "lab.ticks", Path(file))
        except StorekeeperError as error:
            print("refused:", exit_code(error), type(error).__name__, error)
        ballast.unlink()
        deadline = time.monotonic() + 60
        while not platform.timescale.health().ok:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with platform.timescale.pool.begin() as connection:
            print("stayed:", connection.exec_driver_sql("SELECT count(*) FROM lab.ticks").scalar_one())
        print("taken:", ingested(platform, "lab.ticks", Path(file)).inserted)
"""


def test_a_full_disk_of_the_server_leaves_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, "lab.ticks", [row(n % 1000, f"symbol of row {n}") for n in range(120_000)])
    said = on_a_small_disk(SERVER_ON_A_SMALL_DISK, tmp_path, str(file))
    # where the disk fills up under the write-ahead log, the server stops itself
    assert said.startswith(("refused: 3 DiskFullError", "refused: 3 UnavailableError")), said
    assert said.endswith("stayed: 0\ntaken: 120000\n")


def on_a_small_disk(script: str, folder: Path, *arguments: str) -> str:
    """What a script printed, in a mount namespace of its own; skips where there can be none."""
    place = folder / "small"
    place.mkdir()
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    probe = [*unshare, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here: NOT RUN is an ingest on a full disk")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", script, *arguments, str(place)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("second", ["rows.csv", "rows.csv.gz"])
def test_of_two_that_ingest_the_same_at_once_one_does_and_the_other_says_so(
    commands: CommandLine, migrated_url: str, second: str
) -> None:
    rows = [row(n) for n in range(30_000)]
    for name in {"rows.csv", second}:
        write(commands.folder, PRICES, rows, name)
    with (
        commands.started("ingest", PRICES, "rows.csv") as one,
        commands.started("ingest", PRICES, second) as two,
    ):
        ends = [(process.communicate(timeout=120), process.returncode) for process in (one, two)]
    codes = [code for _, code in ends]
    assert 0 in codes
    [((out, err), code)] = [end for end in ends if end[1] != 0]
    assert "Traceback" not in err
    assert "being ingested by somebody else" in err or "was ingested at" in err or "deadlock detected" in err, (
        out,
        err,
    )
    assert code in (2, 3)
    with connect(stores=("timescale",), timescale_url=migrated_url, postgres_url=migrated_url) as platform:
        assert sums(platform, PRICES) == (30_000, 30_000, sum(range(30_000)), 1)


@contextmanager
def ingesting(ingest: Callable[[], object]) -> Iterator[list[object]]:
    """Runs it in a thread for as long as the block; what it gave, or raised, is in the list then."""
    ended: list[object] = []

    def run() -> None:
        try:
            ended.append(ingest())
        except StorekeeperError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ended
    finally:
        thread.join(120)
        assert not thread.is_alive()


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("on_conflict", ["error", "skip", "update"])
@pytest.mark.parametrize("dataset", [PRICES, VALUES])
def test_files_with_keys_in_common_that_come_at_once_in_opposite_order(
    platform: Platform, tmp_path: Path, dataset: str, on_conflict: str
) -> None:
    """Each has written what the other wants next: one of them is called off whole, and can be sent again."""
    first = write(tmp_path, dataset, [row(n, price=1) for n in range(3 * PIECE)], "1.csv")
    second = write(tmp_path, dataset, [row(n, price=2) for n in reversed(range(3 * PIECE))], "2.csv")
    both = threading.Barrier(2, timeout=60)
    options: dict[str, Any] = {"on_conflict": on_conflict, "rejects": tmp_path}

    def ingest(file: Path, **more: Any) -> Any:
        return ingested(platform, dataset, file, **options, **more)

    with ingesting(lambda: ingest(first, progress=after_piece(1, both.wait))) as one:
        two: list[Any] = []
        try:
            two.append(ingest(second, progress=after_piece(1, both.wait)))
        except ConflictError as error:
            two.append(error)
    [loser] = [(file, end[0]) for file, end in ((first, one), (second, two)) if isinstance(end[0], StorekeeperError)]
    assert isinstance(loser[1], ConflictError)
    assert "ingest it again" in loser[1].hint
    assert sums(platform, dataset)[:2] == (3 * PIECE, 3 * PIECE)
    result = ingest(loser[0])
    assert (
        counts(result)
        == {
            "error": (0, 0, 0, 0, 3 * PIECE),
            "skip": (0, 0, 3 * PIECE, 0, 0),
            "update": (0, 3 * PIECE, 0, 0, 0),
        }[on_conflict]
    )
    assert sums(platform, dataset)[:2] == (3 * PIECE, 3 * PIECE)


@pytest.mark.usefixtures("small_pieces")
def test_retention_waits_for_an_ingest_that_has_begun(platform: Platform, migrated_url: str, tmp_path: Path) -> None:
    """It gives up or comes after it; the ingest goes on, into new chunks too."""
    file = write(tmp_path, PRICES, [row(n) for n in range(8 * PIECE)])
    moment = START + timedelta(days=33)
    with connect(stores=("timescale",), timescale_url=migrated_url, postgres_url=migrated_url) as other:
        ends: list[object] = []

        def retain() -> None:
            try:
                ends.append(other.timescale.drop_chunks(PRICES, as_of=moment))
            except ConflictError as error:
                ends.append(error)

        retention = threading.Thread(target=retain)

        def begin() -> None:
            retention.start()
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            deadline = time.monotonic() + 10
            while stored(platform, waiting) == [(0,)]:
                assert time.monotonic() < deadline, "retention waits for the ingest"
                time.sleep(0.02)

        result = ingested(platform, PRICES, file, rejects=tmp_path, progress=after_piece(2, begin))
        retention.join(60)
        assert not retention.is_alive()
        assert counts(result) == (8 * PIECE, 0, 0, 0, 0)
        other.timescale.drop_chunks(PRICES, as_of=moment)
        kept = stored(platform, f"SELECT count(*), min(time) FROM {PRICES}")
        boundary = START + timedelta(days=3)
        assert kept == [(8 * PIECE - 3 * 1440, boundary)]
        assert stored(platform, "SELECT sum(count) FROM invest.stock_prices_5min") == [(3 * 1440,)]
    late = write(tmp_path, PRICES, [row(0), row(8 * PIECE)], "late.csv")
    assert counts(ingested(platform, PRICES, late, rejects=tmp_path)) == (1, 0, 0, 0, 1)


def test_ctrl_c_while_a_pipe_is_silent(commands: CommandLine, migrated_url: str) -> None:
    pipe = commands.folder / "rows.csv"
    os.mkfifo(pipe)
    with commands.started("ingest", PRICES, pipe) as process:
        with pipe.open("w") as silent:  # opens when the command reads
            silent.write(f"{HEADERS[PRICES]}\n{row(1)}\n")
            silent.flush()
            unread = array("i", [1])
            while unread[0]:
                time.sleep(0.02)
                fcntl.ioctl(silent, termios.FIONREAD, unread)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (130, "interrupted; run the same command again to go on\n")
    with connect(stores=("timescale",), timescale_url=migrated_url, postgres_url=migrated_url) as platform:
        assert sums(platform, PRICES) == NOTHING


@pytest.mark.parametrize("arguments", [(), ("--version", "volume"), ("--on-conflict", "skip")])
def test_ctrl_c_at_any_moment(commands: CommandLine, migrated_url: str, arguments: tuple[str, ...]) -> None:
    write(commands.folder, PRICES, ["bad", *(row(n) for n in range(30_000))])
    chance = random.Random(str(arguments))
    with connect(stores=("timescale",), timescale_url=migrated_url, postgres_url=migrated_url) as platform:
        for _ in range(ROUNDS // 2):
            deadline = time.monotonic() + 60
            while busy(migrated_url):  # with what the one before had begun
                assert time.monotonic() < deadline
            with commands.started("ingest", PRICES, "rows.csv", *arguments) as process:
                while not busy(migrated_url) and process.poll() is None:
                    assert time.monotonic() < deadline
                time.sleep(chance.uniform(0, 0.7))
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=60)
            assert "Traceback" not in err
            if out:  # it was through: the signal met an interpreter on its way out, or none
                assert process.returncode in (0, -signal.SIGINT)
                assert sums(platform, PRICES)[0] == 30_000
                clear(migrated_url)
                continue
            # the interpreter ends by the signal itself where it met a text that is executed, as a dataclass's is: a
            # shell shows 130 for both
            assert process.returncode in (130, -signal.SIGINT)
            assert err == "interrupted; run the same command again to go on\n"
            assert sums(platform, PRICES) == NOTHING
            assert not list(commands.folder.glob(".rows*"))
        assert counts(ingested(platform, PRICES, commands.folder / "rows.csv", rejects=commands.folder)) == (
            30_000, 0, 0, 0, 1,
        )  # fmt: skip


def busy(url: str) -> bool:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND xact_start IS NOT NULL AND backend_type = 'client backend'"  # autovacuum comes when it likes
    )
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchone() != (0,)


def test_a_file_that_grows_while_it_is_read_is_said(platform: Platform, tmp_path: Path) -> None:
    """Half a line at its end is no row."""
    file = write(tmp_path, VALUES, [row(0), "2014-05-01T00:0"])
    assert counts(ingested(platform, VALUES, file, rejects=tmp_path)) == (1, 0, 0, 0, 1)
    write(tmp_path, VALUES, [row(0), row(1)])
    assert counts(ingested(platform, VALUES, file, on_conflict="skip")) == (1, 0, 1, 0, 0)
    with pytest.raises(InputError, match="was ingested"):
        ingested(platform, VALUES, file)
