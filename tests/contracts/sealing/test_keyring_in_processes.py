"""One key ring and several processes: at once, and killed in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storekeeper import KeyRing, MasterKeys
from storekeeper.sealing import new_master_key

PLACE, ROW = "deals.chat_messages.content", "11"

#: Waits for a line on standard input, so that all begin together; then seals for 20 people and prints what came of it.
SEALER = """
import sys
from pathlib import Path
from storekeeper import KeyRing, MasterKeys
at, key = sys.argv[1:]
ring = KeyRing(Path(at) if at.startswith("/") else at, MasterKeys.of(key))
print("ready", flush=True)
sys.stdin.readline()
for person in range(20):
    print(ring.seal(str(person), place="deals.chat_messages.content", row="11", person=str(person)), flush=True)
"""

#: Rotates in small batches, and dies by SIGKILL before, or after, the statement of this number.
ROTATOR = """
import os, signal, sys
from pathlib import Path
from storekeeper import KeyRing, MasterKeys
from storekeeper.sealing import keys
at, new, old, last, when = sys.argv[1:]
keys._BATCH = 3
ring = KeyRing(Path(at) if at.startswith("/") else at, MasterKeys.of(new, [old]))
store = ring._keys._store
whole, count = store.perform, 0

def perform(work, *, write):
    def counted(execute):
        def one(statement, parameters):
            global count
            count += 1
            if count == int(last) and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            rows = execute(statement, parameters)
            if count == int(last) and when == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return rows
        return work(one)
    return whole(counted, write=write)

store.perform = perform
ring.rotate()
"""


@pytest.fixture(params=["file", "database"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "file":
        return tmp_path / "keyring.sqlite"
    url: str = request.getfixturevalue("postgres_url")
    return url


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_first_use_of_a_person_by_four_processes_makes_one_key(at: Path | str) -> None:
    key = new_master_key()
    processes = [started(SEALER, at, key) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    with KeyRing(at, MasterKeys.of(key)) as ring:
        assert (ring.status().keys, ring.status().people) == (20, 20)
        for values in answers:
            for person, sealed in enumerate(values):
                assert ring.open(sealed, place=PLACE, row=ROW, person=str(person)) == str(person)
    assert [len(values) for values in answers] == [20] * 4


def test_a_rotation_killed_at_any_statement_leaves_all_values_openable(at: Path | str) -> None:
    """The epoch, then two batches of three keys and one of one: every statement of them is the last one once."""
    old = new_master_key()
    with KeyRing(at, MasterKeys.of(old)) as ring:
        sealed = {str(n): ring.seal(str(n), place=PLACE, row=ROW, person=str(n)) for n in range(7)}
    killed = 0
    for last in range(1, 40, 2):
        new = new_master_key()
        with started(ROTATOR, at, new, old, last, "before" if last % 4 == 1 else "after") as process:
            process.communicate(timeout=60)
        with KeyRing(at, MasterKeys.of(new, [old])) as ring:
            for person, value in sealed.items():
                assert ring.open(value, place=PLACE, row=ROW, person=person) == person
            if process.returncode == 0:
                assert ring.status().unfinished == 0
                break
            assert process.returncode == -signal.SIGKILL
            killed += 1
            ring.rotate()  # again, and to its end
            assert ring.status().keys_by_master == {ring.status().master: 7}
        old = new
    assert process.returncode == 0
    assert killed >= 5
    with KeyRing(at, MasterKeys.of(new)) as ring:
        for person, value in sealed.items():
            assert ring.open(value, place=PLACE, row=ROW, person=person) == person
