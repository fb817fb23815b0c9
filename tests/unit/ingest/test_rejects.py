"""The reject file: every row as it stood, under its name only when all of it is there."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from row_files import rejects_of
from storekeeper.errors import DiskFullError, InputError
from storekeeper.ingest.options import Options
from storekeeper.ingest.readers.piece import Reject
from storekeeper.ingest.rejects import OTHER_REASONS, REASONS, SHOWN, Rejects, open_rejects


def opened(path: Path, *, strict: bool = False, keep: bool = True, replace: bool = False) -> Rejects:
    return Rejects(path, strict=strict, keep=keep, replace=replace, operation="ingest q.csv into", target="lab.q")


#: What files hold: any text, and bytes that are none.
_texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcff,\"'\r\n\0"), max_size=20)


@given(rejects=st.lists(st.builds(Reject, st.integers(1, 2**40), _texts, _texts, st.none() | _texts), max_size=20))
def test_what_is_read_back_is_what_was_written(rejects: list[Reject], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rejects") / "r.csv"
    with opened(path) as file:
        for reject in rejects:
            file.add(reject)
            assert not path.exists()
        file.publish()
    assert path.exists() == bool(rejects)
    if rejects:
        assert rejects_of(path) == [(one.place, one.column or "", one.reason, one.row) for one in rejects]
    assert file.count == len(rejects) == sum(file.reasons.values())
    assert file.first == rejects[:SHOWN]
    assert len(list(path.parent.iterdir())) == bool(rejects)


def test_alike_reasons_are_counted_as_one(tmp_path: Path) -> None:
    with opened(tmp_path / "r.csv", keep=False) as file:
        for value in ("'a'", '"it\'s"', "'long long …", "-1.5e3", "2014-05-01…"):
            file.add(Reject(1, f"{value} is not a number", "", "price"))
        file.add(Reject(1, "has 3 fields, the header 2", ""))
        assert file.reasons == {"price: is not a number": 5, "has 3 fields, the header 2": 1}
        for number in range(2 * REASONS):
            file.add(Reject(1, f"reason {number}", ""))
    assert len(file.reasons) == REASONS + 1
    assert file.reasons[OTHER_REASONS] == 2 + 2 * REASONS - REASONS
    assert not list(tmp_path.iterdir())


def test_an_ingest_that_fails_leaves_no_file(tmp_path: Path) -> None:
    for published in (False, True):
        with pytest.raises(KeyboardInterrupt), opened(tmp_path / "r.csv") as file:
            file.add(Reject(1, "reason", "row"))
            if published:
                file.publish()
            raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_strict_raises_the_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^ingest q.csv into lab.q: row 7, column a: is bad$"):
        opened(tmp_path / "r.csv", strict=True).add(Reject(7, "is bad", "x", "a"), unit="row")


def test_a_file_that_is_there_stays_unless_it_was_named(tmp_path: Path) -> None:
    path = tmp_path / "q.rejects.csv"
    for name, replace in (
        ("q.rejects.csv", False),
        ("q.rejects.2.csv", False),
        ("q.rejects.3.csv", False),
        ("q.rejects.csv", True),
    ):
        with opened(path, replace=replace) as file:
            file.add(Reject(1, name, "row"))
            file.publish()
            assert file.result("q.csv", 1, "line").rejects == tmp_path / name
    written = {found.name: rejects_of(found)[0][2] for found in tmp_path.iterdir()}
    assert written == {name: name for name in ("q.rejects.csv", "q.rejects.2.csv", "q.rejects.3.csv")}


def test_where_the_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "q.csv.gz"
    source.touch()

    def path(rejects: Path | None) -> Path:
        return open_rejects(source, Options(rejects=rejects), operation="", target="").path

    assert path(None) == Path("q.csv.gz.rejects.csv")
    assert path(tmp_path) == tmp_path / "q.csv.gz.rejects.csv"
    assert path(tmp_path / "named") == tmp_path / "named"
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(InputError, match="is the file that is ingested"):
        path(tmp_path / "link")


def test_a_file_that_others_write_is_left_alone(tmp_path: Path) -> None:
    """What a killed process left has no lock any more; what another one writes has."""
    path = tmp_path / "r.csv"
    (tmp_path / ".r.csv.1-1.partial").touch()
    (tmp_path / ".other.csv.1-1.partial").touch()
    with opened(path) as one, opened(path) as two:
        for file in (one, two):
            file.add(Reject(1, "reason", "row"))
        partial = {found.name for found in tmp_path.iterdir()}
        assert len(partial) == 3
        assert ".r.csv.1-1.partial" not in partial
        one.publish()
        two.publish()
    assert {found.name for found in tmp_path.iterdir()} == {"r.csv", "r.2.csv", ".other.csv.1-1.partial"}


def test_what_cannot_be_written_is_said_and_goes(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(InputError, match="File too large"), opened(tmp_path / "r.csv") as file:
            for number in range(10_000):
                file.add(Reject(number, "reason", "row" * 10))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
    full = file._failed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert isinstance(full, DiskFullError)
    assert "its disk has no room left" in str(full)
