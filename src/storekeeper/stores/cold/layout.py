"""Where what lies: the names of files and manifests below the tier's place. Pure.

    series/dataset=invest.intraday_prices/day=2024-01-05/part-20240108T020000-1f0c….parquet
    series/_manifests/dataset=invest.intraday_prices/20240108T020000-1f0c….json

Readers of hive partitions pass over names that begin with `_` or `.`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from storekeeper.catalog import Range
from storekeeper.errors import DamagedArchiveError
from storekeeper.timescale.archived import day_of

ROOT: Final = "series"
#: A name in a file system ends after 255 bytes.
_LONGEST: Final = 200


def dataset_folder(dataset: str) -> str:
    """dataset=invest.intraday_prices; other characters as %XX, as hive writes them. One that is too long ends in a
    digest."""
    name = quote(dataset, safe="")  # letters, digits, and _ . - ~ stay
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 17].rstrip('%')}-{hashlib.sha256(dataset.encode()).hexdigest()[:16]}"
    return f"dataset={name}"


def day_folder(dataset: str, day: datetime) -> str:
    return f"{ROOT}/{dataset_folder(dataset)}/day={day_of(day)}"


def file_name(part: str, number: int) -> str:
    """The names of later parts sort after those of earlier ones."""
    return f"part-{part}-{number:04}.parquet"


def manifest_folder(dataset: str) -> str:
    return f"{ROOT}/_manifests/{dataset_folder(dataset)}"


def manifest_path(dataset: str, part: str) -> str:
    return f"{manifest_folder(dataset)}/{part}.json"


def day_folders(dataset: str, bounds: Range) -> Iterator[str]:
    """Those that may hold files of a chunk."""
    day = bounds.lower
    while day < bounds.upper:
        yield day_folder(dataset, day)
        day += timedelta(days=1)
    if day_folder(dataset, day) != day_folder(dataset, bounds.upper - timedelta(microseconds=1)):
        return
    yield day_folder(dataset, day)


def checked(path: str) -> str:
    """The path of a file as the ledger knows it. Raises DamagedArchiveError where it leads elsewhere."""
    steps = path.split("/")
    if steps[0] != ROOT or any(step in ("", ".", "..") for step in steps) or "\x00" in path or "\\" in path:
        raise DamagedArchiveError(
            f"{path!r} is no file of the archive", operation="read archive", hint="who wrote into the ledger?"
        )
    return path
