"""Checked rows on their way into a dataset. What the server refuses of them comes back as rejects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime

import numpy as np

from storekeeper.errors import (
    BelowWatermarkError,
    CheckError,
    ConstraintError,
    InputError,
    StoreError,
    StorekeeperError,
)
from storekeeper.ingest.options import OnConflict, Options
from storekeeper.ingest.readers.piece import Reject
from storekeeper.ingest.rows.checking import Checked
from storekeeper.ingest.rows.destinations import Rows
from storekeeper.ingest.rows.staging import Broken, Merged, Stage, savepoint
from storekeeper.stores.sql.arrow import pa, pc
from storekeeper.stores.sql.failures import server_detail, sqlstate_of

#: Rows that are found by trying, not by asking: each takes a dozen attempts.
_MOST_TRIED = 5_000
#: Chunks and partitions have a beginning and an end, and so have the years that can be written.
_FIRST_PLACED, _LAST_PLACED = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)


class Sink:
    """Takes checked rows into the dataset, and counts what became of them.

    Rows go in as they come or, where versions decide or nothing is to be written, wait in the server until `finish`.
    Both give back what the server refused: (number of the file, reject).
    """

    def __init__(self, rows: Rows, options: Options, *, operation: str) -> None:
        """Raises InputError where the options go by a key that the dataset has not."""
        self._asked = "--version" if options.version else f"--on-conflict {options.on_conflict}"
        self._operation = operation
        self._versioned = options.version is not None
        self._on_conflict: OnConflict = options.on_conflict
        if not rows.destination.key and (self._versioned or self._on_conflict != "error"):
            raise InputError(
                f"{self._asked} goes by the key of a row, and it has none",
                operation=operation,
                target=rows.destination.name,
            )
        self.inserted = 0
        self.updated = 0
        self.skipped = 0
        self.superseded = 0
        self._rows = rows
        self._dry_run = options.dry_run
        self._stage = Stage(rows.pool, rows.connection, rows.destination, operation=operation)
        self._watermark = rows.watermark()
        self._tried = 0

    @property
    def waiting(self) -> bool:
        """Whether rows wait for `finish`."""
        return self._versioned or self._dry_run

    def write(self, rows: Checked, *, file: int = 0) -> list[tuple[int, Reject]]:
        """Takes rows in. Raises InputError where they have no key, and are to go by it."""
        self._check_has_key(rows)
        rejects: list[Reject] = []
        rows = self._without_late(self._without_unplaced(rows, rejects), rejects)
        if rows.table.num_rows:
            if not self._dry_run and (self._versioned or self._on_conflict != "error"):
                self._rows.make_room(rows.table)
            if self.waiting:
                self._stage.add(rows, file=file)
            else:
                self._write(rows, rejects)
        return [(file, reject) for reject in sorted(rejects, key=lambda reject: reject.place)]

    def finish(self) -> Iterator[tuple[int, Reject]]:
        """Takes in what has waited, when all that it gives was taken."""
        if not self.waiting:
            return
        yield from _refused(self._stage.broken())
        if self._versioned:
            self.superseded += self._stage.settle_versions()
        yield from _refused(self._stage.clashing(keys_too=self._on_conflict == "error"))
        if self._dry_run:
            self._count(self._foreseen())
            return
        try:
            self._settle()
        except _Refusal:
            yield from self._tried_out(*self._stage.numbers())
            self._settle()

    def _foreseen(self) -> Merged:
        if self._on_conflict == "error":
            return Merged(self._stage.count())
        return self._stage.foreseen(update=self._on_conflict == "update")

    def _settle(self) -> None:
        """All that waits goes in. Raises _Refusal."""
        with self._trying():
            if self._on_conflict == "error":
                done = self._stage.insert()
            else:
                done = self._stage.merge(update=self._on_conflict == "update")
        self._count(done)

    def _tried_out(self, first: int, last: int) -> Iterator[tuple[int, Reject]]:
        """Takes the rows of these numbers out of the stage that are refused for a reason that cannot be asked for."""
        try:
            with self._trying():
                self._stage.try_in(first, last, update=self._on_conflict == "update")
        except _Refusal as refusal:
            if first == last:
                self._count_tried(refusal)
                for row in self._stage.take(first, refusal.reason):
                    yield row.file, Reject(row.place, row.reason, row.text, refusal.column)
                return
            middle = (first + last) // 2
            yield from self._tried_out(first, middle)
            yield from self._tried_out(middle + 1, last)

    def _write(self, rows: Checked, rejects: list[Reject]) -> None:
        """All rows at once; where a rule is broken, the server is asked by which of them, and the others go in."""
        try:
            self._attempt(rows)
        except _Refusal:
            self._stage.clear()
            self._stage.add(rows)
            found = [*self._stage.broken(), *self._stage.clashing(keys_too=self._on_conflict == "error")]
            broken = {row.number: row.reason for row in found}
            rejects += [rows.reject(row, reason) for row, reason in broken.items()]
            rest = np.setdiff1d(np.arange(rows.table.num_rows), list(broken))
            self._by_halves(rows.only(rest), rejects)

    def _by_halves(self, rows: Checked, rejects: list[Reject]) -> None:
        """Finds the rows that are refused for a reason that cannot be asked for: a trigger's, a computed column's."""
        count = rows.table.num_rows
        if not count:
            return
        try:
            self._attempt(rows)
        except _Refusal as refusal:
            if count > 1:
                places = np.arange(count)
                self._by_halves(rows.only(places[: count // 2]), rejects)
                self._by_halves(rows.only(places[count // 2 :]), rejects)
                return
            self._count_tried(refusal)
            rejects.append(rows.reject(0, refusal.reason, refusal.column))

    def _attempt(self, rows: Checked) -> None:
        """Raises _Refusal where a row is to blame: nothing of these rows is in then."""
        if self._on_conflict != "error":
            self._stage.clear()
            self._stage.add(rows)
        with self._trying():
            if self._on_conflict == "error":
                self._rows.put(rows.table)
                done = Merged(rows.table.num_rows)
            else:
                done = self._stage.merge(update=self._on_conflict == "update")
        self._count(done)

    @contextmanager
    def _trying(self) -> Iterator[None]:
        """A savepoint, undone by a failure. Raises _Refusal where that is a row's."""
        try:
            with savepoint(self._rows.connection):
                yield
        except StorekeeperError as error:
            if not _of_a_row(error):
                raise
            raise _Refusal(error) from error

    def _count_tried(self, refusal: _Refusal) -> None:
        self._tried += 1
        if self._tried > _MOST_TRIED:
            said = copy(refusal.error)
            said.cause = f"more than {_MOST_TRIED:,} rows are refused one by one, such as by: {refusal.reason}"
            raise said from refusal.error.__cause__  # `from refusal` would close a circle

    def _without_unplaced(self, rows: Checked, rejects: list[Reject]) -> Checked:
        name = self._rows.placed_by
        if name is None or name not in rows.table.column_names or not rows.table.num_rows:
            return rows
        times = rows.table.column(name)
        if not pa.types.is_timestamp(times.type):
            return rows
        first, last = (pa.scalar(bound, pa.timestamp("us", tz="UTC")) for bound in (_FIRST_PLACED, _LAST_PLACED))
        fits = pc.and_(pc.greater_equal(times, first), pc.less(times, last)).fill_null(True)
        mask = fits.to_numpy(zero_copy_only=False)
        if mask.all():
            return rows
        reason = "no chunk or partition holds a time outside of the years 2 to 9997"
        rejects += [rows.reject(int(row), reason, name) for row in np.flatnonzero(~mask)]
        return rows.only(np.flatnonzero(mask))

    def _without_late(self, rows: Checked, rejects: list[Reject]) -> Checked:
        time, mark = self._rows.destination.time, self._watermark
        if mark is None or time is None:
            return rows
        late = pc.less(rows.table.column(time), pa.scalar(mark, pa.timestamp("us", tz="UTC")))
        mask = late.to_numpy(zero_copy_only=False)
        if not mask.any():
            return rows
        reason = f"rows before {mark:%Y-%m-%d %H:%M:%S} UTC are gone: the rollups hold what was there"
        rejects += [rows.reject(int(row), reason, time) for row in np.flatnonzero(mask)]
        return rows.only(np.flatnonzero(~mask))

    def _check_has_key(self, rows: Checked) -> None:
        destination = self._rows.destination
        missing = [name for name in destination.key if name not in rows.table.column_names]
        if missing and (self._versioned or self._on_conflict != "error"):
            raise InputError(
                f"{self._asked} goes by the key ({', '.join(destination.key)}) of a row, and there is nothing for "
                f"{', '.join(missing)}",
                operation=self._operation,
                target=destination.name,
            )

    def _count(self, done: Merged) -> None:
        self.inserted += done.inserted
        self.updated += done.updated
        self.skipped += done.skipped


class _Refusal(Exception):  # noqa: N818  # it never leaves this module
    """The server refuses rows."""

    def __init__(self, error: StorekeeperError) -> None:
        super().__init__(str(error))
        self.error = error

    @property
    def reason(self) -> str:
        detail = server_detail(self.error)
        return f"{self.error.cause}: {detail}" if detail else self.error.cause

    @property
    def column(self) -> str | None:
        return getattr(self.error, "column", "") or None


def _of_a_row(error: StorekeeperError) -> bool:
    """Whether another row might have been taken: constraints, values, what triggers raise."""
    if isinstance(error, CheckError) and not error.constraint:
        return True
    if isinstance(error, (ConstraintError, BelowWatermarkError)):
        return True
    code = sqlstate_of(error) or ""
    return isinstance(error, (InputError, StoreError)) and code.startswith(("22", "P0"))


def _refused(broken: Iterator[Broken]) -> Iterator[tuple[int, Reject]]:
    for row in broken:
        yield row.file, Reject(row.place, row.reason, row.text)
