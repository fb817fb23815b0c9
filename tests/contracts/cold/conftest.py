"""Places of the cold tier: a directory, and S3s of the test's own where they can be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3_servers import served
from storekeeper.stores.cold.place import Bucket, Directory, Place


@pytest.fixture(params=["directory", "rclone", "moto"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "directory":
        yield Directory(tmp_path / "archive")
        return
    with served(request.param, tmp_path) as s3:
        yield Bucket("s3://lab/some/prefix", s3)
