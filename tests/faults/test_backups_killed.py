"""Backups that are killed, interrupted or run out of disk: nothing half stays, and the next one succeeds."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import redis

from own_servers import own_redis
from storekeeper.backups import Repository, Sources, back_up, check_backup
from storekeeper.backups.cluster import inspect_cluster
from storekeeper.clock import FixedClock
from storekeeper.servers import RunningStack

pytestmark = pytest.mark.faults

AS_OF = datetime(2014, 6, 8, 2, tzinfo=UTC)
LABEL = "20140608T020000Z-full"
#: Takes the URLs from its environment; the repository is its argument.
BACKUP = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from storekeeper.backups import Repository, Sources, back_up
from storekeeper.clock import SystemClock

sources = Sources(postgres=os.environ["POSTGRES"])
repository = Repository(Path(sys.argv[1]))
made = back_up("postgres", sources=sources, repository=repository, clock=SystemClock(),
               as_of=datetime(2014, 6, 8, 2, tzinfo=UTC))
print(made.label, made.bytes)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "backups")


def environment(stack: RunningStack, redis_url: str = "") -> dict[str, str]:
    return {**os.environ, "POSTGRES": stack.urls.postgres, "REDIS": redis_url or stack.urls.redis}


def writers(folder: Path) -> list[str]:
    """The command lines of the tools that write below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # gone meanwhile
            if f"--pgdata={folder}".encode() in line:
                found.append(line.decode())
    return found


def until(condition: object, *, within: float = 20.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def in_the_middle(stack: RunningStack, repository: Repository, number: signal.Signals) -> int:
    """Starts a backup of PostgreSQL, signals it while its files are being copied, and returns its exit code."""
    data = repository.path("postgres", f"{LABEL}.partial") / "data"
    argv = [sys.executable, "-c", BACKUP, str(repository.root)]
    with subprocess.Popen(argv, env=environment(stack), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        until(lambda: (data / "base").is_dir() or process.poll() is not None)
        assert process.poll() is None
        assert writers(repository.root)
        process.send_signal(number)
        return process.wait(20)


def senders(stack: RunningStack) -> int:
    with psycopg.connect(stack.urls.postgres) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_replication").fetchone()
    assert row is not None
    return int(row[0])


def test_a_killed_backup_takes_its_tools_along_and_the_next_one_cleans_up(
    stack: RunningStack, repository: Repository, clock: FixedClock
) -> None:
    assert in_the_middle(stack, repository, signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not writers(repository.root), within=5)
    until(lambda: senders(stack) == 0, within=5)
    assert repository.labels("postgres") == ()
    assert repository.leftovers("postgres") == (f"{LABEL}.partial",)

    made = back_up(
        "postgres", sources=Sources(postgres=stack.urls.postgres), repository=repository, clock=clock, as_of=AS_OF
    )
    assert made.swept == (f"{LABEL}.partial",)
    assert repository.leftovers("postgres") == ()
    check_backup(repository, "postgres", LABEL)


def test_an_interrupted_backup_leaves_nothing(stack: RunningStack, repository: Repository) -> None:
    assert in_the_middle(stack, repository, signal.SIGINT) != 0
    assert not writers(repository.root)
    until(lambda: senders(stack) == 0, within=5)
    assert repository.labels("postgres") == repository.leftovers("postgres") == ()


#: Backs up to a small disk, says what stayed, makes room, backs up again.
ON_A_SMALL_DISK = """
import os, subprocess, sys
from datetime import UTC, datetime
from pathlib import Path
from storekeeper.backups import Repository, Sources, back_up, check_backup
from storekeeper.clock import SystemClock
from storekeeper.errors import RepositoryFullError

place, store, size = sys.argv[1:]
# the ballast makes the disk small, and goes to make room: an ordinary user may not resize a mount
ballast, room = Path(place, "ballast"), 300 << 20
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={int(size) + room}", "tmpfs", place], check=True)
with ballast.open("wb") as file:
    os.posix_fallocate(file.fileno(), 0, room)
sources = Sources(postgres=os.environ["POSTGRES"], redis=os.environ["REDIS"])
repository = Repository(Path(place))
moment = datetime(2014, 6, 8, 2, tzinfo=UTC)
try:
    back_up(store, sources=sources, repository=repository, clock=SystemClock(), as_of=moment)
except RepositoryFullError as error:
    print("refused:", error)
print("stayed:", [path.name for path in Path(place).glob("*/*") if path.name != ".lock"])
ballast.unlink()
made = back_up(store, sources=sources, repository=repository, clock=SystemClock(), as_of=moment)
check_backup(repository, store, made.label)
print("made:", made.label)
"""


def on_a_small_disk(stack: RunningStack, store: str, size: int, place: Path, redis_url: str = "") -> str:
    """What it printed, in a mount namespace of its own; skips where there can be none."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    probe = [*unshare, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here: NOT RUN is a backup on a full disk")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", ON_A_SMALL_DISK, str(place), store, str(size)],
        env=environment(stack, redis_url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_full_then_whole(said: str) -> None:
    assert "refused: " in said
    assert "HINT: " in said
    assert "STOREKEEPER_BACKUPS" in said
    assert "stayed: []\n" in said
    assert said.endswith(f"made: {LABEL}\n")


def test_a_disk_that_fills_up_under_the_servers_tool(stack: RunningStack, tmp_path: Path) -> None:
    # Enough for the databases, so that it begins, and not for the WAL that comes along.
    size = inspect_cluster(stack.urls.postgres).bytes + (4 << 20)
    said = on_a_small_disk(stack, "postgres", size, tmp_path)
    assert_full_then_whole(said)
    assert "pg_basebackup" in said


def test_a_disk_on_which_there_is_no_room_from_the_start(stack: RunningStack, tmp_path: Path) -> None:
    said = on_a_small_disk(stack, "postgres", 1 << 20, tmp_path)
    assert_full_then_whole(said)
    assert "it needs about" in said


def test_a_disk_that_fills_up_under_our_own_hands(stack: RunningStack, tmp_path: Path) -> None:
    place = tmp_path / "backups"
    place.mkdir()
    with own_redis(tmp_path) as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        with redis.Redis.from_url(url) as client:
            client.mset({f"key:{n}": secrets.token_bytes(1 << 20) for n in range(8)})
        said = on_a_small_disk(stack, "redis", 2 << 20, place, url)
    assert_full_then_whole(said)
    assert "No space left" in said
