"""The demo: whole, twice in a row, and nothing of it is left but its own folder."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import CommandLine
from processes import processes_of


@pytest.fixture
def places() -> Iterator[Path]:
    """Folders that stand in for those that programs share, with a short path: a socket's name has room for little."""
    with tempfile.TemporaryDirectory(prefix="demo-") as place:
        for name in ("home", "tmp", "run", "here"):
            (Path(place) / name).mkdir(mode=0o700)
        yield Path(place)


def test_the_demo_runs_whole_twice_and_leaves_nothing(places: Path) -> None:
    home, shared, runtime, here = (places / name for name in ("home", "tmp", "run", "here"))
    folders = {"HOME": str(home), "TMPDIR": str(shared), "XDG_RUNTIME_DIR": str(runtime)}
    demo = CommandLine(here, folders)
    for _ in range(2):
        told(demo.process("demo").out)
        assert [entry.name for entry in here.iterdir()] == [".storekeeper-demo"]
        assert (here / ".storekeeper-demo" / "bars.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert list(shared.iterdir()) == list(runtime.iterdir()) == list(home.iterdir()) == []
        assert processes_of(places) == []


def told(out: str) -> None:
    """What the newcomer has read: each scene with what it is to prove."""
    assert re.search(r"^\d+ steps done; asked again, 0 are left to do$", out, re.MULTILINE)
    assert re.search(r"^invest\.intraday_prices +\S+ +50,390 +[\d,]+$", out, re.MULTILINE)
    nights = re.findall(r"^2022-08-\d\d +([\d,]+) +0 +(\d+) +([\d,]+)$", out, re.MULTILINE)
    assert [int(dropped) for _, dropped, _ in nights] == [0, 1, 1, 1, 2]
    assert all(int(refreshed.replace(",", "")) for refreshed, _, _ in nights)
    assert "columnstore is not supported by plain PostgreSQL partitions" in out
    assert [
        len(re.findall(f" {server}/\\d{{8}}T\\d{{6}}Z-full ", out)) for server in ("postgres", "mongo", "redis")
    ] == [
        2,  # the second SQL store is told that the backup of its server is there
        1,
        1,
    ]
    assert "of postgres and timescale is there already" in out
    assert "2022-08-22 23:55  WETH-USDC@univ3-polygon" in out
    assert "2022-07-19: 0 raw rows are left, and 288 bars of 5 minutes" in out
    assert "2022-07-19: 0 raw rows and 24 bars of 1 hour are left" in out
    assert "what bars of 5m are made of was dropped before 2022-09-04 00:00:00 UTC" in out
    assert "100 allowed, 5 refused; try again in " in out
    assert re.search(r"^error +5$", out, re.MULTILINE)
    assert re.search(r"^Done in \d+ s; every server has stopped", out, re.MULTILINE)


def test_the_demo_keeps_out_of_a_folder_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused = CommandLine(tmp_path, {})("demo", "--dir", "mine", code=8)
    assert "error: demo in mine: is not empty, and the demo did not make it" in refused.err
    assert "hint: give a directory of its own: storekeeper demo --dir DIR" in refused.err
    assert [entry.name for entry in tmp_path.rglob("*")] == ["mine", "thesis.txt"]
