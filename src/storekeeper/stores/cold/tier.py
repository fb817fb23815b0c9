"""The cold tier: parts of a dataset are written, verified, read and taken away. Blocking: callers with a loop use a
thread."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from storekeeper.catalog import Range
from storekeeper.clock import as_utc
from storekeeper.errors import ArchiveError, DamagedArchiveError, NotVerifiedError
from storekeeper.stores.cold.files import by_time, packed, sums_of, unpacked
from storekeeper.stores.cold.layout import checked, day_folder, day_folders, file_name, manifest_folder, manifest_path
from storekeeper.stores.cold.manifest import Manifest, described, manifest_of
from storekeeper.stores.cold.place import Place
from storekeeper.stores.sql.arrow import Table, pa, pc
from storekeeper.timescale.archived import ColdFile

_HINT: Final = "restore it from a copy; docs/cold.md says what else there is to do"


class ColdTier:
    """Files of one place. What counts of them the store's ledger says, never a listing.

    | call | does |
    | --- | --- |
    | `tier.write(dataset, part, number, rows, …)` | one file, durable, read again and compared; it does not count yet |
    | `tier.seal(manifest)` | the manifest, after all files of the part |
    | `tier.read(files, …)` | rows of files, in order of time |
    | `tier.remove(dataset, part, bounds)` | what a run left behind that ended early |
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    @property
    def shown(self) -> str:
        """The place, without secrets."""
        return self._place.shown

    def check(self) -> None:
        """Raises ArchiveError where nothing can be written."""
        self._place.check()

    def check_parts(self, dataset: str, parts: Collection[str]) -> None:
        """Raises ArchiveError where none of these parts of a dataset is: then this is another place than the one that
        they were written to."""
        if parts and {f"{part}.json" for part in parts}.isdisjoint(self._place.names(manifest_folder(dataset))):
            raise ArchiveError(
                f"nothing is there of what was archived of {dataset}",
                operation="write archive",
                target=self.shown,
                hint="is it mounted, and the place that was archived to? Nothing was dropped",
            )

    def write(
        self,
        dataset: str,
        part: str,
        number: int,
        rows: Table,
        *,
        time: str,
        sorted_by: Sequence[str],
        summed: Mapping[str, bool],
    ) -> tuple[ColdFile, dict[str, tuple[int, str | None]]]:
        """One file of rows of one day, sorted so; with counts and sums of what was read again from it.

        Raises NotVerifiedError where that is not what was written, ArchiveError.
        """
        moments = pc.min_max(rows.column(time))
        earliest, latest = as_utc(moments["min"].as_py()), as_utc(moments["max"].as_py())
        path = f"{day_folder(dataset, earliest)}/{file_name(part, number)}"
        content = packed(rows, sorted_by)
        written = hashlib.sha256(memoryview(content)).hexdigest()
        self._place.put(path, memoryview(content))
        found = self._place.get(path)
        again = unpacked(found, target=path)
        if hashlib.sha256(memoryview(found)).hexdigest() != written or not _is_same(again, rows):
            raise NotVerifiedError(
                "what was read again is not what was written",
                operation="archive",
                target=f"{self.shown}/{path}",
                hint="nothing was dropped",
            )
        file = ColdFile(path, written, rows.num_rows, len(memoryview(content)), earliest, latest, part)
        return file, sums_of(again, summed)

    def seal_part(
        self,
        *,
        dataset: str,
        part: str,
        chunk: str,
        bounds: Range,
        time: str,
        sorted_by: Sequence[str],
        columns: Sequence[tuple[str, str]],
        schema: Any,
        declaration: str,
        content: str,
        written_at: datetime,
        files: Sequence[ColdFile],
    ) -> str:
        """Writes the manifest of a part, of whose files nothing is missing; returns its sha256. `columns` are names and
        the server's types, `schema` Arrow's (nothing where there are no files)."""
        return self.seal(
            Manifest(
                dataset,
                part,
                chunk,
                bounds,
                time,
                tuple(sorted_by),
                described(columns, schema) if files else (),
                declaration,
                content,
                written_at,
                tuple(files),
            )
        )

    def seal(self, manifest: Manifest) -> str:
        """Writes the manifest; returns its sha256."""
        content = manifest.to_json()
        path = manifest_path(manifest.dataset, manifest.part)
        self._place.put(path, memoryview(content))
        found = bytes(self._place.get(path))
        if found != content:
            raise NotVerifiedError(
                "what was read again is not what was written",
                operation="archive",
                target=f"{self.shown}/{path}",
                hint="nothing was dropped",
            )
        return hashlib.sha256(content).hexdigest()

    def read(
        self,
        file: ColdFile,
        *,
        time: str,
        columns: Sequence[str],
        within: tuple[datetime | None, datetime | None],
        where: Any | None = None,
        kinds: Mapping[str, Any] | None = None,
    ) -> Table:
        """The rows of a file, as they were kept, in order of time and, of one time, of the key. Its checksum is
        verified whenever it is read. `kinds` are the columns that are declared now, with their Arrow types: those that
        the file was written without are NULL. Raises DamagedArchiveError, and ArchiveError where a value does not fit
        the type that its column has now."""
        content = self._content(file)
        lower, upper = within
        conditions = [where] if where is not None else []
        if lower is not None and lower > file.earliest:
            conditions.append(pc.field(time) >= lower)
        if upper is not None and upper <= file.latest:
            conditions.append(pc.field(time) < upper)
        condition = None
        for one in conditions:
            condition = one if condition is None else condition & one
        wanted = list(dict.fromkeys([*columns, time]))
        return by_time(unpacked(content, wanted, condition, kinds=kinds, target=file.path), time).select(list(columns))

    def manifest(self, dataset: str, part: str, sha256: str) -> Manifest:
        """Raises DamagedArchiveError where it is missing, or is not what was written."""
        path = manifest_path(dataset, part)
        content = bytes(self._place.get(path))
        if hashlib.sha256(content).hexdigest() != sha256:
            raise _damaged(self.shown, path)
        return manifest_of(content, target=path)

    def verify(self, file: ColdFile) -> None:
        """Reads a file whole: its checksum, its pages, its count of rows. Raises DamagedArchiveError."""
        found = unpacked(self._content(file), target=file.path).num_rows
        if found != file.rows:
            raise DamagedArchiveError(
                f"has {found} rows, not {file.rows}", operation="verify archive", target=file.path, hint=_HINT
            )

    def verify_part(self, dataset: str, part: str, manifest: str, files: Sequence[ColdFile]) -> None:
        """Reads all of a part: its manifest, of this sha256, and the files that it and the ledger name. Raises
        DamagedArchiveError."""
        found = self.manifest(dataset, part, manifest)
        if found.files != tuple(files):
            raise DamagedArchiveError(
                "names other files than the ledger does",
                operation="verify archive",
                target=f"{self.shown}/{manifest_path(dataset, part)}",
                hint=_HINT,
            )
        for file in files:
            self.verify(file)

    def remove(self, dataset: str, part: str, bounds: Range) -> int:
        """Takes away what is there of a part that does not count; returns how many files. The manifest goes first."""
        self._place.remove(manifest_path(dataset, part))
        removed = 0
        for folder in day_folders(dataset, bounds):
            for name in self._place.names(folder):
                if f"part-{part}-" in name:
                    self._place.remove(f"{folder}/{name}")
                    removed += 1
        return removed

    def _content(self, file: ColdFile) -> Any:
        path = checked(file.path)
        content = self._place.get(path)
        if hashlib.sha256(memoryview(content)).hexdigest() != file.sha256:
            raise _damaged(self.shown, path)
        return content


def _damaged(place: str, path: str) -> DamagedArchiveError:
    return DamagedArchiveError(
        "has another checksum than when it was written", operation="read archive", target=f"{place}/{path}", hint=_HINT
    )


def _is_same(one: Table, other: Table) -> bool:
    """Whether two tables are equal bit by bit: of floating point NaN is as NaN, which no comparison of values finds."""
    return bool(_as_bits(one).equals(_as_bits(other)))


def _as_bits(table: Table) -> Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            bits = pa.int64() if field.type.bit_width == 64 else pa.int32()
            table = table.set_column(place, field.name, table.column(place).combine_chunks().view(bits))
    return table
