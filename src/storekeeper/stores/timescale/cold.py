"""What the time-series store asks of a cold tier, and how rows from there become an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from storekeeper.catalog import Range
from storekeeper.errors import InputError
from storekeeper.stores.sql.arrow import Array, Table, pa, pc
from storekeeper.stores.sql.copy_decode import Decoder
from storekeeper.stores.timescale.answers import arrow_type, decoder_of
from storekeeper.timescale.archived import ColdFile, as_text
from storekeeper.timescale.conditions import among
from storekeeper.timescale.levels import Level
from storekeeper.timescale.rows import read_columns


@dataclass(frozen=True)
class Wanted:
    """What is to be read of a level's rows: columns, conditions (values that columns may have), and as which types."""

    columns: tuple[sa.Column[Any], ...]
    where: Mapping[str, Sequence[object]]
    decoder: Decoder

    @property
    def schema(self) -> Any:
        return self.decoder.schema


def wanted_of(
    level: Level, columns: Sequence[str] | None, where: Mapping[str, Sequence[object]] | None, *, exact: bool, zone: str
) -> Wanted:
    """Raises ColumnError, InputError."""
    chosen = read_columns(level, columns)
    among(level.table, where or {}, operation="read", target=level.name)
    named = [(column.name, column.type) for column in chosen]
    decoder = decoder_of(named, exact=exact, zone=zone, cast=False, operation="read", target=level.name)
    return Wanted(chosen, where or {}, decoder)


#: Decimals of up to this many digits are exact as float64, and so is a power of ten of up to this exponent.
_EXACT_DIGITS, _EXACT_SCALE = 15, 22


class Cold(Protocol):
    """Keeps files of rows. Its calls block; they raise ArchiveError and what is under it."""

    @property
    def shown(self) -> str: ...

    def check(self) -> None: ...

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
    ) -> tuple[ColdFile, dict[str, tuple[int, str | None]]]: ...

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
    ) -> str: ...

    def read(
        self,
        file: ColdFile,
        *,
        time: str,
        columns: Sequence[str],
        within: tuple[datetime | None, datetime | None],
        where: Any | None = None,
    ) -> Table: ...

    def remove(self, dataset: str, part: str, bounds: Range) -> int: ...

    def verify_part(self, dataset: str, part: str, manifest: str, files: Sequence[ColdFile]) -> None: ...


def pushed(table: sa.Table, where: Mapping[str, Sequence[object]]) -> Any | None:
    """`where` as an expression over the columns of the files: values among those given, compared as the server does.

    Raises InputError where a value is none of its column.
    """
    condition = None
    for name, values in where.items():
        column = table.columns[name]
        wanted = _values(column, values)
        field = pc.field(name)
        one = field.isin(wanted)
        if len(wanted) and not as_text(column.type):
            # the statistics of a row group are compared with bounds
            bounds = pc.min_max(wanted)
            one = (field >= bounds["min"]) & (field <= bounds["max"]) & one
        condition = one if condition is None else condition & one
    return condition


def _values(column: sa.Column[Any], values: Sequence[object]) -> Array:
    kind = arrow_type(column.type, exact=True)
    found = [value for value in values if value is not None]
    try:
        match column.type:
            case sa.Numeric() if as_text(column.type):
                raise InputError(
                    "a number without declared digits cannot be looked for in the archive",
                    operation="read",
                    target=str(column),
                    hint="read the range, and filter the answer",
                )
            case sa.Numeric() if not isinstance(column.type, sa.Float):
                numbers = [Decimal(str(value)) for value in found]
                unit = Decimal(1).scaleb(-kind.scale)
                whole = [number.quantize(unit) for number in numbers if number == number.quantize(unit)]
                return pa.array([n for n in whole if len(n.as_tuple().digits) <= kind.precision], type=kind)
            case sa.Float():
                return pa.array([float(str(value)) for value in found], type=kind)
            case sa.Integer():
                return pa.array([int(str(value)) for value in found], type=kind)
            case sa.Boolean():
                return pa.array([_truth(value) for value in found], type=kind)
            case sa.DateTime():
                return pa.array(
                    [v if isinstance(v, datetime) else datetime.fromisoformat(str(v)) for v in found], type=kind
                )
            case sa.Date():
                return pa.array([v if isinstance(v, date) else date.fromisoformat(str(v)) for v in found], type=kind)
            case sa.Uuid():
                return pa.array([str(UUID(str(value))) for value in found], type=kind)
            case _:
                return pa.array([str(value) for value in found], type=kind)
    except (ValueError, InvalidOperation, pa.ArrowInvalid, OverflowError) as error:
        raise InputError(f"{error}: no value of {column.name}", operation="read", target=str(column)) from error


def _truth(value: object) -> bool:
    text = str(value).lower()
    if text not in ("true", "false", "t", "f"):
        raise ValueError(text)
    return text in ("true", "t")


def answered(rows: Table, schema: Any) -> Table:
    """Rows of files with the types that were asked for."""
    columns = [_as(rows.column(field.name), field.type) for field in schema]
    table: Table = pa.Table.from_arrays(columns, schema=schema)
    return table


def _as(column: Any, wanted: Any) -> Any:
    kind = column.type
    if kind == wanted:
        return column
    if pa.types.is_decimal(kind) and pa.types.is_floating(wanted):
        return _as_float(column)
    if pa.types.is_string(kind) and pa.types.is_decimal(wanted):  # a number without bound
        return pa.chunked_array([pa.array([_decimal(v, wanted) for v in column.to_pylist()], type=wanted)])
    return column.cast(wanted)


def _decimal(text: str | None, wanted: Any) -> Decimal | None:
    return None if text is None else Decimal(text)


def _as_float(column: Any) -> Any:
    """Correctly rounded, as the server's cast is: the quotient of two numbers that are exact."""
    scale = column.type.scale
    chunks = []
    for chunk in column.chunks:
        if column.type.precision > 18 or scale > _EXACT_SCALE:
            bounds = pc.min_max(chunk)
            most = max((abs(b.as_py()) for b in (bounds["min"], bounds["max"]) if b.is_valid), default=Decimal(0))
            if scale > _EXACT_SCALE or most.scaleb(scale) >= Decimal(2) ** 53:
                chunks.append(chunk.cast(pa.string()).cast(pa.float64()))
                continue
        whole = np.frombuffer(chunk.buffers()[1], dtype="<i8", count=2 * (len(chunk) + chunk.offset))[::2]
        whole = whole[chunk.offset :]
        if column.type.precision > _EXACT_DIGITS and len(whole) and np.abs(whole).max() >= 2**53:
            chunks.append(chunk.cast(pa.string()).cast(pa.float64()))
            continue
        mask = None if not chunk.null_count else chunk.is_null().to_numpy(zero_copy_only=False)
        chunks.append(pa.array(whole / float(10**scale), mask=mask, type=pa.float64()))
    return pa.chunked_array(chunks, type=pa.float64())


def merged_rows(sources: Sequence[Table], time: str, key: Sequence[str]) -> Table:
    """Rows of several sources, the oldest first, in order of time and key: of rows with one natural key (`key` with
    its time; empty where there is none) the newest source's counts."""
    rows = pa.concat_tables(sources)
    if not rows.num_rows:
        table: Table = rows
        return table
    if key:
        places = pa.array(np.arange(rows.num_rows))
        numbered = rows.select(list(key)).append_column("storekeeper_place", places)
        last = numbered.group_by(list(key)).aggregate([("storekeeper_place", "max")])
        rows = rows.take(last.column("storekeeper_place_max").combine_chunks().sort())
    order = [time, *(name for name in key if name != time)]
    merged: Table = rows.sort_by([(name, "ascending") for name in order])
    return merged
