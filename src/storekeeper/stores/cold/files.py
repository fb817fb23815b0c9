"""Rows as Parquet and back: zstd, sorted, with statistics and page checksums; and sums over columns, to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from storekeeper.errors import ArchiveError, DamagedArchiveError
from storekeeper.stores.sql.arrow import Array, Table, pa, pc

#: Rows a row group: min and max of each let a reader pass over it; in a sorted file it is of few keys.
ROW_GROUP: Final = 131_072
_WIDE: Final = 76


def packed(table: Table, sorted_by: Sequence[str]) -> Any:
    """The table as one Parquet file, a buffer. It is sorted by these columns already."""
    import pyarrow.parquet as pq

    parquet: Any = pq
    sink = pa.BufferOutputStream()
    names = table.schema.names
    with parquet.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        version="2.6",
        # decimals of up to 18 digits as integers: a third of the size, and what every reader knows
        store_decimal_as_integer=True,
        write_statistics=True,
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=[parquet.SortingColumn(names.index(name)) for name in sorted_by],
    ) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)
    return sink.getvalue()


def unpacked(
    content: Any,
    columns: Sequence[str] | None = None,
    where: Any | None = None,
    *,
    kinds: Mapping[str, Any] | None = None,
    target: str = "",
) -> Table:
    """The rows of a file, in its order, where the pyarrow expression `where` holds; row groups whose statistics rule it
    out are not read. `kinds` are the columns as they are declared now, with their Arrow types: those that the file was
    written without are NULL, those that it has of another type are cast. Raises DamagedArchiveError, ArchiveError."""
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    dataset: Any = ds
    parquet: Any = pq
    whole: Table
    wanted = None if columns is None else list(columns)
    try:
        if kinds is not None and (written := _otherwise(content, kinds)) is not None:
            whole = parquet.ParquetFile(pa.BufferReader(content)).read(columns=written)
            whole = _declared(whole, kinds, target)
            whole = whole if where is None else whole.filter(where)
            return whole if wanted is None else whole.select(wanted)
        if where is None:  # plainly, which takes half the time of a scan
            whole = parquet.ParquetFile(pa.BufferReader(content)).read(columns=wanted)
            return whole if wanted is None else whole.select(wanted)
        fragment = dataset.ParquetFileFormat().make_fragment(pa.BufferReader(content))
        table: Table = fragment.to_table(columns=wanted, filter=where)
    except (pa.ArrowInvalid, OSError) as error:
        raise DamagedArchiveError(
            str(error).partition("\n")[0], operation="read archive", target=target, hint="restore it from a copy"
        ) from error
    return table


def _otherwise(content: Any, kinds: Mapping[str, Any]) -> list[str] | None:
    """Which of these columns a file has, where it lacks one or has it of another type; None where it is as declared."""
    import pyarrow.parquet as pq

    parquet: Any = pq
    written = {field.name: field.type for field in parquet.read_schema(pa.BufferReader(content))}
    if all(written.get(name) == kind for name, kind in kinds.items()):
        return None
    return [name for name in kinds if name in written]


def _declared(table: Table, kinds: Mapping[str, Any], target: str) -> Table:
    """The columns of a file as they are declared now."""
    columns = []
    for name, kind in kinds.items():
        column = table.column(name) if name in table.column_names else pa.chunked_array([pa.nulls(len(table), kind)])
        try:
            columns.append(column.cast(kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ArchiveError(
                f"{name} was kept as {column.type}, of which {kind} does not hold all",
                operation="read archive",
                target=target,
                hint="declare the column as wide as it was, or read other columns",
            ) from error
    declared: Table = pa.table(columns, names=list(kinds))
    return declared


def by_time(table: Table, time: str) -> Table:
    """The rows of a file in order of time; those of one time stay in the file's order, which is that of the key."""
    moments = table.column(time).combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False)
    if len(moments) < 2 or bool(np.all(moments[:-1] <= moments[1:])):
        return table
    order = np.argsort(moments, kind="stable")
    taken: Table = table.combine_chunks().take(pa.array(order))
    return taken


def sums_of(table: Table, summed: Mapping[str, bool]) -> dict[str, tuple[int, str | None]]:
    """What `timescale.archived.select_content` has the server say: of each column how many values it has, and a sum.
    `summed` says of which columns there is a sum."""
    return {
        name: (
            len(table.column(name)) - table.column(name).null_count,
            _sum(table.column(name)) if has_sum else None,
        )
        for name, has_sum in summed.items()
    }


def _sum(column: Array) -> str | None:
    """As PostgreSQL prints it; of times in microseconds, of texts in bytes of UTF-8, of truths how many hold."""
    if len(column) == column.null_count:
        return "0" if pa.types.is_boolean(column.type) else None
    kind = column.type
    if pa.types.is_decimal(kind):
        # 38 digits more than the column's hold any sum
        return str(pc.sum(column.cast(pa.decimal256(_WIDE, kind.scale))).as_py())
    if pa.types.is_boolean(kind):
        return str(pc.sum(column).as_py())
    if pa.types.is_string(kind):
        return str(pc.sum(pc.binary_length(column)).as_py())
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    numbers = pc.drop_null(column).cast(pa.int64()).to_numpy()
    # in two halves, so that no sum overflows
    return str((int((numbers >> 32).sum()) << 32) + int((numbers & 0xFFFFFFFF).sum()))
