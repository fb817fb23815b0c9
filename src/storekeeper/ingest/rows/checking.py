"""Pieces of a file as rows of a table: columns derived, cast and checked; a row that does not fit becomes a reject."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storekeeper.ingest.mapping import ColumnSource, FromColumn, FromConstant
from storekeeper.ingest.readers.piece import Piece, Reject
from storekeeper.ingest.rows.derive import derive
from storekeeper.stores.sql.arrow import Array, RecordBatch, Table, pa
from storekeeper.stores.sql.intake import Kind, Misfit, as_error, check_names, check_places, conformed, rules_of

_VERSION = Kind("text")
#: What fits is followed by so many times as many rows; behind a row that does not, one alone is tried.
_GROWTH = 4


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows that fit their table, column by column. `places` and `text` are as in the Piece, for these rows.

    `versions` are texts, none of them null, where the caller asked for them; `rounded` counts values by column.
    """

    table: Table
    places: npt.NDArray[np.int64]
    text: Callable[[int], str]
    versions: Array | None = None
    rounded: Mapping[str, int] | None = None
    rejects: tuple[Reject, ...] = ()

    def only(self, rows: npt.NDArray[np.int64]) -> Checked:
        """These rows of them, in this order; counts and rejects stay behind."""
        taken = pa.array(rows, pa.int64())
        return Checked(
            self.table.take(taken),
            self.places[rows],
            _chosen(self.text, rows),
            None if self.versions is None else self.versions.take(taken),
        )

    def reject(self, row: int, reason: str, column: str | None = None) -> Reject:
        return Reject(int(self.places[row]), reason, self.text(row), column)


class Checker:
    """Makes the columns of one table out of pieces of one file."""

    def __init__(
        self,
        table: sa.Table,
        sources: Mapping[str, ColumnSource],
        *,
        round_to: Mapping[str, int],
        time_format: str | None,
        zone: str | None,
        version: str | None,
        unit: str,
        operation: str,
        target: str,
    ) -> None:
        """Raises ColumnError where columns are missing or computed by the server, InputError for a bad rounding."""
        self._rules = rules_of(table)
        check_names(sources, self._rules, operation=operation, target=target)
        self._places = check_places(round_to, self._rules, operation=operation, target=target)
        self._sources = sources
        self._time_format = time_format
        self._zone = zone
        self._version = version
        self._unit = unit
        self._operation = operation
        self._target = target
        self._first = True
        self._check_constants()

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns of the file that are read."""
        named = dict.fromkeys(name for source in self._sources.values() for name in source.needs)
        return tuple(named | ({self._version: None} if self._version else {}))

    def check(self, piece: Piece) -> Checked:
        """The piece's rows that fit, and rejects for those that do not, in the order of the file.

        Raises NaiveTimeError where the first row of the file has a time without a zone: then all have.
        """
        batch, places, text = piece.batch, piece.places, piece.text
        rejects = list(piece.rejects)
        try:
            columns, versions, rounded = self._columns(batch)
        except Misfit:
            misfits = self._misfits(batch)
            if self._first and (naive := misfits.get(0)) is not None and naive[1].naive:
                raise as_error(
                    naive[1],
                    column=naive[0],
                    operation=self._operation,
                    target=self._target,
                    locate=lambda _: f"{self._unit} {places[0]}",
                ) from naive[1]
            rejects += [
                Reject(int(places[row]), str(misfit), text(row), column) for row, (column, misfit) in misfits.items()
            ]
            rejects.sort(key=lambda reject: reject.place)
            fits = np.ones(batch.num_rows, dtype=bool)
            fits[list(misfits)] = False
            kept = np.flatnonzero(fits)
            columns, versions, rounded = self._columns(batch.filter(pa.array(fits)))
            places, text = places[kept], _chosen(piece.text, kept)
        self._first = self._first and not batch.num_rows
        return Checked(pa.table(columns), places, text, versions, rounded, tuple(rejects))

    def _check_constants(self) -> None:
        """A value that is set and does not fit is the caller's mistake, not a row's."""
        nothing = pa.record_batch({"": pa.nulls(1)})
        for name, source in self._sources.items():
            if isinstance(source, FromConstant):
                try:
                    self._column(nothing, name)
                except Misfit as misfit:
                    raise as_error(
                        misfit,
                        column=name,
                        operation=self._operation,
                        target=self._target,
                        locate=lambda _: "what is set",
                    ) from misfit

    def _columns(self, batch: RecordBatch) -> tuple[dict[str, Array], Array | None, dict[str, int]]:
        columns: dict[str, Array] = {}
        rounded: dict[str, int] = {}
        for name in self._rules:
            if name in self._sources:
                columns[name], changed = self._column(batch, name)
                if changed:
                    rounded[name] = changed
        return columns, self._versions(batch), rounded

    def _column(self, batch: RecordBatch, name: str) -> tuple[Array, int]:
        rule = self._rules[name]
        derived = derive(batch, self._sources[name], rule.kind, time_format=self._time_format, zone=self._zone)
        return conformed(derived, rule, self._places.get(name))

    def _versions(self, batch: RecordBatch) -> Array | None:
        if self._version is None:
            return None
        versions = derive(batch, FromColumn(self._version), _VERSION, time_format=None, zone=None)
        if not pa.types.is_string(versions.type):
            versions = versions.cast(pa.string())
        if versions.null_count:
            row = int(np.argmax(versions.is_null().to_numpy(zero_copy_only=False)))
            raise Misfit(row, None, "is missing: it says which row of a key is taken")
        return versions

    def _misfits(self, batch: RecordBatch) -> dict[int, tuple[str, Misfit]]:
        """The rows that do not fit, in order, each with its first column that is to blame."""
        found: dict[int, tuple[str, Misfit]] = {}
        for name in self._rules:
            if name in self._sources:
                for row, misfit in self._misfits_of(batch, name):
                    found.setdefault(row, (name, misfit))
        if self._version is not None:
            for row, misfit in _each_misfit(batch, self._versions):
                found.setdefault(row, (self._version, misfit))
        return dict(sorted(found.items()))

    def _misfits_of(self, batch: RecordBatch, name: str) -> Iterator[tuple[int, Misfit]]:
        source, make = self._sources[name], partial(self._column, name=name)
        if not isinstance(source, FromColumn) or not pa.types.is_string(batch.column(source.name).type):
            yield from _each_misfit(batch, make)
            return
        # what misfits in many rows is often the same, and tried once
        packed = batch.column(source.name).dictionary_encode(null_encoding="encode")
        different = pa.record_batch({source.name: packed.dictionary})
        misfits = dict(_each_misfit(different, make))
        codes = packed.indices.to_numpy()
        for row in np.flatnonzero(np.isin(codes, list(misfits))):
            yield int(row), misfits[codes[row]]


def _chosen(text: Callable[[int], str], rows: npt.NDArray[np.int64]) -> Callable[[int], str]:
    """The texts of these rows, numbered anew."""

    def chosen(row: int) -> str:
        return text(int(rows[row]))

    return chosen


def _each_misfit(batch: RecordBatch, make: Callable[[RecordBatch], object]) -> Iterator[tuple[int, Misfit]]:
    """Every row for which `make` raises a Misfit. Few rows are tried at once where misfits are many."""
    start, step = 0, batch.num_rows
    while start < batch.num_rows:
        size = min(step, batch.num_rows - start)
        try:
            make(batch.slice(start, size))
        except Misfit as misfit:
            if misfit.row:  # what lies before it may misfit by another rule
                step = misfit.row
            else:
                yield start, misfit
                start, step = start + 1, 1
        else:
            start, step = start + size, _GROWTH * size
