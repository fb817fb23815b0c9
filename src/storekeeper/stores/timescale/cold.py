"""What the time-series store asks of a cold tier, and how rows from there become an answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final, Protocol
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from storekeeper.catalog import Range, plain_type
from storekeeper.errors import InputError, ValueFitError
from storekeeper.stores.sql.arrow import Array, Table, pa, pc
from storekeeper.stores.sql.copy_decode import Decoder
from storekeeper.stores.timescale.answers import arrow_type, decoder_of
from storekeeper.timescale.archived import ColdFile, as_text, kept_columns
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
#: The default of 28 digits would round.
_WIDE: Final = Context(prec=200)


class Cold(Protocol):
    """Keeps files of rows. Its calls block; they raise ArchiveError and what is under it."""

    @property
    def shown(self) -> str: ...

    def check(self) -> None: ...

    def check_parts(self, dataset: str, parts: Collection[str]) -> None: ...

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
        kinds: Mapping[str, Any] | None = None,
    ) -> Table: ...

    def remove(self, dataset: str, part: str, bounds: Range) -> int: ...

    def verify_part(self, dataset: str, part: str, manifest: str, files: Sequence[ColdFile]) -> None: ...


def kinds_of(level: Level) -> Mapping[str, Any]:
    """The columns as files hold them that are written now, with their Arrow types."""
    return {column.name: arrow_type(column.type, exact=True) for column in kept_columns(level)}


def pushed(table: sa.Table, where: Mapping[str, Sequence[object]]) -> Any | None:
    """`where` as an expression over the columns of the files: values among those given, compared as the server does.
    Of floating point it is one over rows that were read: what files tell of their rows leaves NaN out.

    Raises InputError where a value is none of its column.
    """
    condition = None
    for name, values in where.items():
        column = table.columns[name]
        wanted = _values(column, values)
        field = pc.field(name)
        one = field.isin(wanted)
        if isinstance(column.type, sa.Float):
            if pc.any(pc.is_nan(wanted)).as_py():  # to the server one is equal to another
                one |= pc.is_nan(field)
        elif len(wanted) and not as_text(column.type):
            # the statistics of a row group are compared with bounds
            bounds = pc.min_max(wanted)
            one = (field >= bounds["min"]) & (field <= bounds["max"]) & one
        condition = one if condition is None else condition & one
    return condition


def _values(column: sa.Column[Any], values: Sequence[object]) -> Array:
    if as_text(column.type):
        raise InputError(
            "a number without declared digits cannot be looked for in the archive",
            operation="read",
            target=str(column),
            hint="read the range, and filter the answer",
        )
    if isinstance(plain_type(column.type), sa.JSON):
        raise InputError(
            "a document cannot be looked for in the archive: texts are kept of it",
            operation="read",
            target=str(column),
            hint="read the range, and filter the answer",
        )
    found = [one for value in values if (one := typed(column, value)) is not None]
    if isinstance(column.type, sa.Float) and 0.0 in found:  # Arrow takes the two zeros apart, and files do not
        found += [0.0, -0.0]
    try:
        return pa.array(found, type=arrow_type(column.type, exact=True))
    except (pa.ArrowInvalid, OverflowError) as error:
        raise InputError(f"{error}: no value of {column.name}", operation="read", target=str(column)) from error


def typed(column: sa.Column[Any], value: object) -> Any | None:
    """A value as rows of the archive have it, so that equal ones are equal: "1.50" of a NUMERIC(9, 2) is Decimal 1.50.
    None for NULL, and for what no row can have. Raises InputError where it is no value of its column."""
    if value is None:
        return None
    try:
        match column.type:
            case sa.Numeric() if not isinstance(column.type, sa.Float):
                return _fitting(column.type, Decimal(_digits(value)))
            case sa.Float():
                return float(_digits(value))
            case sa.Integer():
                number, half = int(_digits(value)), 1 << (arrow_type(column.type, exact=True).bit_width - 1)
                return number if -half <= number < half else None
            case sa.Boolean():
                return _truth(value)
            case sa.DateTime():
                moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
                return moment.replace(tzinfo=UTC) if column.type.timezone and moment.tzinfo is None else moment
            case sa.Date():
                return value if isinstance(value, date) else date.fromisoformat(str(value))
            case sa.Uuid():
                return str(UUID(str(value)))
            case _:
                return str(value)
    except (ValueError, InvalidOperation, OverflowError) as error:
        raise InputError(f"{error}: no value of {column.name}", operation="read", target=str(column)) from error


def _digits(value: object) -> str:
    """The text of a number; Python takes 1_000 for one too, the server does not."""
    text = str(value)
    if "_" in text:
        raise ValueError(text)
    return text


def _fitting(kind: sa.Numeric[Any], number: Decimal) -> Decimal | None:
    """The number with the decimals of its column; None where it has more of them, or too many digits."""
    if as_text(kind) or not number.is_finite():
        return number if number.is_finite() else None
    wanted = arrow_type(kind, exact=True)
    whole = number.quantize(Decimal(1).scaleb(-wanted.scale), context=_WIDE)
    return whole if whole == number and len(whole.as_tuple().digits) <= wanted.precision else None


def typed_keys(table: sa.Table, by: Sequence[str], keys: Sequence[object]) -> set[tuple[object, ...]]:
    """Keys with the values of `typed`, each once; without those that no row has."""
    columns = [table.columns[name] for name in by]
    rows = (key if isinstance(key, tuple) else (key,) for key in keys)
    found = {tuple(typed(column, value) for column, value in zip(columns, row, strict=True)) for row in rows}
    return {key for key in found if None not in key}


def of_keys(rows: Table, table: sa.Table, by: Sequence[str], keys: set[tuple[object, ...]]) -> Table:
    """The rows of these keys, which are as `typed_keys` gives them; values are compared, not their texts."""
    if not rows.num_rows or not by:
        return rows
    codes, known = np.zeros(rows.num_rows, dtype=np.int64), []
    kinds = [rows.schema.field(name).type for name in by]
    shown = {tuple(map(_shown, key, kinds)) for key in keys}
    for name in by:
        encoded = pa.concat_arrays(rows.column(name).chunks).dictionary_encode()
        unbound = as_text(table.columns[name].type) and pa.types.is_string(rows.schema.field(name).type)
        values = [Decimal(one) if unbound else one for one in encoded.dictionary.to_pylist()]
        known.append([*values, None])
        places = pc.fill_null(encoded.indices.cast(pa.int64()), len(values)).to_numpy()
        codes = codes * len(known[-1]) + places
    distinct, inverse = np.unique(codes, return_inverse=True)
    wanted = []
    for code in distinct.tolist():
        key: list[object] = []
        for values in reversed(known):
            code, place = divmod(code, len(values))  # digit by digit
            key.append(values[place])
        wanted.append(tuple(reversed(key)) in shown)
    found: Table = rows.filter(pa.array(np.array(wanted, dtype=bool)[inverse]))
    return found


def _shown(value: object, kind: Any) -> object:
    """A decimal that is read as a float is compared as one."""
    return float(value) if isinstance(value, Decimal) and pa.types.is_floating(kind) else value


def newest_rows(rows: Table, by: Sequence[str], order: Sequence[str]) -> Table:
    """Of the rows of each key the last in this order."""
    return last_of_keys(rows.sort_by([(name, "ascending") for name in order]), by)


def last_of_keys(rows: Table, by: Sequence[str]) -> Table:
    """Of the rows of each key the one that comes last."""
    if not by:
        return rows.slice(max(0, rows.num_rows - 1))
    places = pa.array(np.arange(rows.num_rows))
    numbered = rows.select(list(by)).append_column("storekeeper_place", places)
    last = numbered.group_by(list(by)).aggregate([("storekeeper_place", "max")])
    found: Table = rows.take(last.column("storekeeper_place_max").combine_chunks().sort())
    return found


def _truth(value: object) -> bool:
    text = str(value).lower()
    if text not in ("true", "false", "t", "f"):
        raise ValueError(text)
    return text in ("true", "t")


def answered(rows: Table, schema: Any) -> Table:
    """Rows of files with the types that were asked for. Raises ValueFitError where Arrow has no room for a number."""
    columns = [_as(rows.column(field.name), field.name, field.type) for field in schema]
    table: Table = pa.Table.from_arrays(columns, schema=schema)
    return table


def _as(column: Any, name: str, wanted: Any) -> Any:
    kind = column.type
    if kind == wanted:
        return column
    if pa.types.is_decimal(kind) and pa.types.is_floating(wanted):
        return _as_float(column)
    if pa.types.is_string(kind) and pa.types.is_decimal(wanted):  # a number without bound
        return pa.chunked_array([_as_decimals(column.to_pylist(), name, wanted)])
    return column.cast(wanted)


def _as_decimals(texts: Sequence[str | None], name: str, wanted: Any) -> Array:
    numbers = [None if text is None else Decimal(text) for text in texts]
    cause = "a number is NaN or infinite, which a decimal cannot be"
    try:
        if all(number is None or number.is_finite() for number in numbers):
            return pa.array(numbers, type=wanted)
    except pa.ArrowInvalid as error:
        cause = str(error)
    raise ValueFitError(cause, operation="read", target=name, column=name, hint="read it without exact=True")


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


def merged_rows(sources: Sequence[Table], key: Sequence[str]) -> Table:
    """Rows of several sources, the oldest first: of rows with one natural key (empty where there is none) the newest
    source's counts."""
    rows: Table = pa.concat_tables(sources)
    return last_of_keys(rows, key) if key and rows.num_rows else rows


def in_order(rows: Table, order: Sequence[str], texts: Mapping[str, Array]) -> Table:
    """Rows in order of these columns. `texts` are the values of columns of text, in the order that the server has."""
    ranks = {name: pc.index_in(rows.column(name), value_set=values) for name, values in texts.items()}
    sorted_by = pa.table([ranks.get(name, rows.column(name)) for name in order], names=list(order))
    places = pc.sort_indices(sorted_by, sort_keys=[(name, "ascending") for name in order])
    found: Table = rows.take(places)
    return found
