"""Rows in any of the forms they come in, as columns by name."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from storekeeper.errors import ColumnError, InputError
from storekeeper.stores.sql.arrow import ChunkedArray, Table, pa


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that gives itself as Arrow: polars' and pandas' frames, pyarrow's tables and readers."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


#: Dicts of one row each, a pandas DataFrame, a pyarrow Table, RecordBatch or reader, a polars DataFrame.
Rows: TypeAlias = Iterable[Mapping[str, object]] | ArrowStream


_HINT: Final = "hand in a list of dicts, a pandas or polars DataFrame, or an Arrow table"


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of equal length: Arrow's where the rows came as such, else Python objects.

    `missing` says which objects besides None stand for a value that is not there; `index` what a frame has besides its
    columns.
    """

    count: int
    arrow: Mapping[str, ChunkedArray] = field(default_factory=dict)
    objects: Mapping[str, Sequence[object]] = field(default_factory=dict)
    missing: Callable[[object], bool] | None = None
    index: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.arrow, *self.objects)


def columns_of(rows: Rows, *, operation: str, target: str) -> Columns:
    """The columns of the rows. Raises ColumnError where a name stands twice, InputError for what holds no rows."""
    # a DataFrame cannot be handed in before pandas is imported, which another thread may be about to do
    pandas = sys.modules.get("pandas")
    if pandas is not None and hasattr(pandas, "DataFrame") and isinstance(rows, pandas.DataFrame):
        return _of_frame(rows, pandas, operation=operation, target=target)
    if isinstance(rows, ArrowStream):
        try:
            table = rows if isinstance(rows, Table) else pa.table(rows)
        except pa.ArrowException as error:  # a Series, or a type that Arrow has none for
            raise InputError(
                f"{type(rows).__name__} is no table of Arrow's types: {error}", operation=operation, target=target
            ) from error
        _refuse_twice(table.column_names, operation=operation, target=target)
        return Columns(table.num_rows, arrow=dict(zip(table.column_names, table.columns, strict=True)))
    if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Iterable):
        raise InputError(
            f"{type(rows).__name__} holds no rows",
            operation=operation,
            target=target,
            hint=_HINT,
        )
    return _of_dicts(rows, operation=operation, target=target)


def _of_dicts(rows: Iterable[Mapping[str, object]], *, operation: str, target: str) -> Columns:
    listed = list(rows)
    names: dict[str, None] = {}
    for number, row in enumerate(listed):
        if not isinstance(row, Mapping):
            raise InputError(
                f"row {number} is {type(row).__name__}, not a dict", operation=operation, target=target, hint=_HINT
            )
        names.update(dict.fromkeys(row))
    return Columns(len(listed), objects={name: [row.get(name) for row in listed] for name in names})


def _of_frame(frame: Any, pandas: Any, *, operation: str, target: str) -> Columns:
    names = [str(name) for name in frame.columns]
    _refuse_twice(names, operation=operation, target=target)
    arrow: dict[str, ChunkedArray] = {}
    objects: dict[str, Sequence[object]] = {}
    for place, name in enumerate(names):
        series = frame.iloc[:, place]
        if series.dtype == object:
            objects[name] = series.tolist()
            continue
        try:
            column = pa.Array.from_pandas(series)  # NaN and NaT are NULL
        except (pa.ArrowException, TypeError) as error:
            raise ColumnError(
                f"{name} is {series.dtype}, which Arrow does not know", operation=operation, target=target
            ) from error
        arrow[name] = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])

    def missing(value: object) -> bool:
        return value is None or value is pandas.NA or value is pandas.NaT or (isinstance(value, float) and isnan(value))

    index = tuple(str(name) for name in frame.index.names if name is not None)
    return Columns(len(frame), arrow=arrow, objects=objects, missing=missing, index=index)


def _refuse_twice(names: Iterable[str], *, operation: str, target: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ColumnError(f"column {', '.join(twice)} stands twice", operation=operation, target=target)
