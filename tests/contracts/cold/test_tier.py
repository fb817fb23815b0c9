"""The cold tier alone, in a directory and in S3s: what is written is what is read, and nothing else counts."""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from cold_files import BOUNDS, DAY, KINDS, rows, written
from storekeeper.errors import ArchiveError, DamagedArchiveError
from storekeeper.settings import S3
from storekeeper.stores.cold.layout import checked, dataset_folder
from storekeeper.stores.cold.manifest import Manifest
from storekeeper.stores.cold.place import Bucket, Directory, Place
from storekeeper.stores.cold.tier import ColdTier
from storekeeper.timescale.archived import ColdFile


def read(tier: ColdTier, file: ColdFile, **named: Any) -> pa.Table:
    return tier.read(file, **{"time": "time", "columns": list(KINDS), "within": (None, None), **named})


def test_what_is_written_is_read_in_order_of_time(place: Place) -> None:
    tier, table = ColdTier(place), rows()
    tier.check()
    file = written(tier, table)
    assert file.path.startswith("series/dataset=lab.ticks/day=2024-01-05/part-p1-")
    assert (file.rows, file.earliest) == (500, DAY)
    found = read(tier, file)
    assert found.schema == table.schema
    assert found.to_pylist() == sorted(table.to_pylist(), key=lambda row: row["time"])
    some = read(tier, file, columns=["price"], within=(DAY + timedelta(minutes=5), DAY + timedelta(minutes=7)))
    assert some.num_rows == 6
    assert some.column_names == ["price"]
    tier.verify(file)


def test_what_is_no_number_is_kept_too(place: Place) -> None:
    tier, table = ColdTier(place), rows(4)
    odd = [math.nan, math.inf, -0.0, None]
    table = table.set_column(table.column_names.index("share"), "share", pa.array(odd))
    found = read(tier, written(tier, table)).column("share").to_pylist()
    assert sorted(map(repr, found)) == sorted(map(repr, odd))


def test_a_manifest_is_read_as_it_was_written(place: Place) -> None:
    tier = ColdTier(place)
    file = written(tier, rows())
    sha256 = tier.seal_part(
        dataset="lab.ticks",
        part="p1",
        chunk="ticks_p20240105",
        bounds=BOUNDS,
        time="time",
        sorted_by=("symbol", "time"),
        columns=[(name, "TEXT") for name in KINDS],
        schema=rows().schema,
        declaration="0" * 64,
        content="1",
        written_at=DAY,
        files=[file],
    )
    found = tier.manifest("lab.ticks", "p1", sha256)
    assert isinstance(found, Manifest)
    assert (found.files, found.bounds, found.rows) == ((file,), BOUNDS, 500)
    with pytest.raises(DamagedArchiveError, match="another checksum"):
        tier.manifest("lab.ticks", "p1", hashlib.sha256(b"else").hexdigest())
    assert tier.remove("lab.ticks", "p1", BOUNDS) == 1
    assert tier.remove("lab.ticks", "p1", BOUNDS) == 0
    with pytest.raises(DamagedArchiveError, match="missing"):
        read(tier, file)


def test_what_is_there_is_not_written_over(place: Place) -> None:
    tier = ColdTier(place)
    file = written(tier, rows())
    written(tier, rows(30), part="p2")
    assert read(tier, file).num_rows == 500


def test_a_place_that_cannot_be_written_is_told_before_anything_goes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError, match="nothing was dropped"):
        ColdTier(Directory(tmp_path / "file" / "archive")).check()


class Trying(Directory):
    """A directory of which another process finds whether it can be written, while this one does."""

    def get(self, path: str) -> Any:
        Directory(Path(self.shown)).check()
        return super().get(path)


def test_two_may_try_a_place_at_once(tmp_path: Path) -> None:
    Trying(tmp_path / "archive").check()
    assert list((tmp_path / "archive").iterdir()) == []


class Forgetful(Directory):
    def get(self, path: str) -> Any:
        return pa.py_buffer(b"\0" * len(bytes(super().get(path))))


def test_a_place_that_reads_back_something_else_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="other than was written"):
        Forgetful(tmp_path).check()
    assert list(tmp_path.iterdir()) == []


def test_an_s3_that_is_not_there_is_told_without_its_key() -> None:
    pytest.importorskip("obstore", reason="the cold tier on S3 needs obstore: pip install 'storekeeper[s3]'")
    from pydantic import SecretStr

    s3 = S3(
        endpoint="http://127.0.0.1:1",
        region="x",
        access_key_id=SecretStr("somebody"),
        secret_access_key=SecretStr("hunter2"),
        allow_http=True,
    )
    assert "hunter2" not in repr(s3)
    place = Bucket("s3://lab/prefix", s3)
    with pytest.raises(ArchiveError) as caught:
        place.get("series/x")
    assert "hunter2" not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"


@given(dataset=st.text(min_size=1, max_size=130))
def test_any_name_is_one_folder(dataset: str) -> None:
    try:
        dataset.encode()
    except UnicodeEncodeError:
        return
    folder = dataset_folder(dataset)
    assert folder.startswith("dataset=")
    assert "/" not in folder
    assert len(folder.encode()) < 255
    assert folder.isascii()


def test_different_names_are_different_folders() -> None:
    names = ["a.b", "a/b", "a%2Fb", "..", ".", "a.b ", "é" * 60, "é" * 61, "A.b"]
    assert len({dataset_folder(name) for name in names}) == len(names)


@pytest.mark.parametrize("path", ["/etc/passwd", "series/../../x", "other/x", "series//x", "series/\x00", "series/."])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(DamagedArchiveError):
        checked(path)
