"""Archiving that is killed between any two steps: the next run goes on, no row is lost, none is seen twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from cold_series import AS_OF, CATALOG, KEPT_CATALOG, START, key, tick, ticks, tier
from series_servers import SOAK, SeriesServer
from storekeeper.errors import ConflictError, NotSupportedError
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.hypertables import HypertablesEngine
from timescale_stores import opened

pytestmark = pytest.mark.faults

Psql = psycopg.Connection[tuple[object, ...]]

DAYS = 6
ROWS = ticks(DAYS)
EXPECTED = {key(row): row["price"] for row in ROWS}
TESTS = Path(__file__).parents[2]


@pytest.fixture
def store(series_url: str, engine: Engine, tmp_path: Path) -> Iterator[Timescale]:
    with opened(series_url, engine, CATALOG, archive=tier(tmp_path)) as store:
        yield store


def ran(url: str, engine: Engine, folder: Path, last: int, *, keeping: bool = False) -> int | None:
    """Runs retention in a process that is killed at a step; how many steps it had where it came to its end."""
    process = subprocess.run(
        [sys.executable, "-m", "killed_at", url, _named(engine), str(folder), f"{AS_OF:%Y-%m-%d %H:%M}", str(last)],
        env={**os.environ, "PYTHONPATH": str(TESTS), "KEEPING": "yes" if keeping else "no"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0
    return int(process.stdout)


def _named(engine: Engine) -> str:
    """As another process is told of it."""
    return ".".join(map(str, engine.version)) if isinstance(engine, HypertablesEngine) else engine.name


def settle(psql: Psql) -> None:
    """Waits until the server has noticed that the client is gone."""
    deadline = time.monotonic() + 30
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    while psql.execute(others).fetchone() != (0,) and time.monotonic() < deadline:
        time.sleep(0.02)


def seen(store: Timescale) -> dict[object, object]:
    found = store.raw("lab.ticks", exact=True).to_pylist()
    prices = {(row["time"], row["symbol"]): row["price"] for row in found}
    assert len(prices) == len(found), "none is seen twice"
    return prices  # type: ignore[return-value]  # keys are as wide as objects


def whole(folder: Path, store: Timescale) -> None:
    """What is in the archive is what counts, and nothing else."""
    files = sorted(str(path.relative_to(folder / "archive")) for path in (folder / "archive").rglob("*.parquet"))
    with store.pool.begin() as connection:
        known = [row[0] for row in connection.exec_driver_sql("SELECT path FROM storekeeper.archived_files ORDER BY 1")]
        dead = connection.exec_driver_sql("SELECT count(*) FROM storekeeper.archived_parts WHERE state <> 'kept'")
        assert dead.scalar_one() == 0
    assert files == known
    assert not list((folder / "archive").rglob("*.partial"))


def test_killed_at_any_step(
    store: Timescale, psql: Psql, series_url: str, engine: Engine, tmp_path: Path, series_server: SeriesServer
) -> None:
    """Steps at random, one kill after the other, on the way to the end; in the long form every step, from the start."""
    store.append("lab.ticks", ROWS)
    try:
        store.compress("lab.ticks", as_of=START + timedelta(days=10))
    except NotSupportedError:
        assert not engine.columnstore
    chance = random.Random(os.environ.get("STOREKEEPER_TEST_SEED", "11"))
    kills, last = 0, 0
    while True:
        last = last + 1 if SOAK else chance.randint(5, 40)
        steps = ran(series_url, engine, tmp_path, last)
        settle(psql)
        assert seen(store) == EXPECTED, f"after step {last}"
        if steps is not None:
            break
        kills += 1
        if kills == 3 and not SOAK:
            assert ran(series_url, engine, tmp_path, 0) is not None
            break
    assert kills >= 2
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert [chunk.range.lower for chunk in store.chunks("lab.ticks")] == [START + timedelta(days=n) for n in (4, 5)]
    assert seen(store) == EXPECTED
    whole(tmp_path, store)


def test_late_rows_come_between_the_kills(psql: Psql, series_url: str, engine: Engine, tmp_path: Path) -> None:
    psql.execute("UPDATE storekeeper.watermarks SET late_rows = 'keep', rolled_up = false WHERE dataset = 'lab.ticks'")
    chance = random.Random(os.environ.get("STOREKEEPER_TEST_SEED", "12"))
    expected: dict[object, object] = dict(EXPECTED)
    with opened(series_url, engine, KEPT_CATALOG, archive=tier(tmp_path)) as store:
        store.append("lab.ticks", ROWS)
        for kill in range(60 if SOAK else 3):
            steps = ran(series_url, engine, tmp_path, chance.randint(8, 45), keeping=True)
            settle(psql)
            late = [tick(START + timedelta(hours=chance.randint(0, 90)), f"late{kill % 5}", kill + 1)]
            try:
                store.upsert("lab.ticks", late)
                expected |= {key(row): row["price"] for row in late}
            except ConflictError as error:
                refused = str(error)
                assert "on its way to the archive" in refused
            if steps is not None or kill % 2:
                # rows that reached a chunk while it went are back when a run has ended
                store.drop_chunks("lab.ticks", as_of=AS_OF)
            found = seen(store)
            assert found == expected
        store.drop_chunks("lab.ticks", as_of=AS_OF)
        assert seen(store) == expected
        whole(tmp_path, store)


#: Archives onto a small disk, says what stayed, makes room, archives again.
ON_A_SMALL_DISK = """
import os, subprocess, sys
from pathlib import Path
from cold_series import AS_OF, CATALOG, tier
from storekeeper.errors import ArchiveFullError
from storekeeper.timescale.hypertables import HypertablesEngine
from storekeeper.timescale.partitions import PartitionsEngine
from storekeeper.timescale.spellings import parsed
from timescale_stores import opened

url, engine, place = sys.argv[1:]
# the ballast makes the disk small, and goes to make room: an ordinary user may not resize a mount
ballast, room = Path(place, "ballast"), 64 << 20
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room + (20 << 10)}", "tmpfs", place], check=True)
with ballast.open("wb") as file:
    os.posix_fallocate(file.fileno(), 0, room)
chosen = PartitionsEngine() if engine == "partitions" else HypertablesEngine(parsed(engine))
with opened(url, chosen, CATALOG, archive=tier(Path(place))) as store:
    try:
        store.drop_chunks("lab.ticks", as_of=AS_OF)
    except ArchiveFullError as error:
        print("refused:", error)
    print("kept:", store.raw("lab.ticks").num_rows, "partial:", list(Path(place).rglob("*.partial")))
    ballast.unlink()
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    print("kept:", store.raw("lab.ticks").num_rows, "chunks:", len(store.chunks("lab.ticks")))
"""


def test_a_full_disk_drops_nothing(store: Timescale, series_url: str, engine: Engine, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    probe = [*unshare, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here: NOT RUN is archiving onto a full disk")
    store.append("lab.ticks", ROWS)
    done = subprocess.run(
        [*unshare, sys.executable, "-c", ON_A_SMALL_DISK, series_url, _named(engine), str(place)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    refused, hint, kept, after = done.stdout.splitlines()
    assert refused.startswith("refused: write archive ")
    assert "make room" in hint
    assert kept == f"kept: {len(ROWS)} partial: []"
    assert after == f"kept: {len(ROWS)} chunks: 2"
