"""The directory of a stack: a stack's own, or somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from storekeeper.errors import ServerStartError
from storekeeper.servers import start_stack
from storekeeper.servers.layout import Layout


def test_an_empty_directory_a_stacks_and_one_that_is_not_there_are_no_strangers(tmp_path: Path) -> None:
    assert Layout(tmp_path / "new").foreign is None
    assert Layout(tmp_path).foreign is None
    (tmp_path / "backups").mkdir()
    assert Layout(tmp_path).foreign is None
    (tmp_path / "thesis.txt").touch()
    assert Layout(tmp_path).foreign == "thesis.txt"
    (tmp_path / "secrets.json").touch()
    assert Layout(tmp_path).foreign is None


def test_no_stack_is_started_among_somebody_elses_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ServerStartError, match=r"it holds thesis\.txt, which is no stack's"):
        start_stack(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]
