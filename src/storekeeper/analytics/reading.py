"""One way to read any dataset: bars, rows of a series, rollup or table, documents; in batches, or as Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from storekeeper.analytics.asking import BATCH, Answer, Request, Row, check, chosen, comparisons
from storekeeper.analytics.comparisons import Comparison, mongo_filter
from storekeeper.analytics.datasets import Documents, Relation, Series, checked_columns, find
from storekeeper.analytics.documents import as_row, column_type
from storekeeper.analytics.statements import Column, order_of, select
from storekeeper.catalog import plain_type
from storekeeper.errors import NotMigratedError
from storekeeper.stores.mongo.failures import translated
from storekeeper.timescale.archived import as_text
from storekeeper.timescale.shapes import bar_columns
from storekeeper.timescale.statement import Statement

if TYPE_CHECKING:
    import pyarrow as pa

    from storekeeper.platform import Platform
    from storekeeper.stores.sql.pool import Pool

#: All rows are fetched: plan for the last, not for the first.
_READING: Final = {"cursor_tuple_fraction": "1"}


def read(platform: Platform, request: Request) -> pa.Table:
    """The whole answer as Arrow. Raises DeclarationError where no dataset has that name."""
    with answering(platform, request) as answer:
        return answer.table()


@contextmanager
def answering(platform: Platform, request: Request) -> Iterator[Answer]:
    """The answer, read from the store while its batches are taken: without a limit, it is never held as a whole.

    Only bars are, as Arrow: their number is bound by the range. All rows are of one snapshot of the store (MongoDB:
    of one cursor). Raises DeclarationError, ColumnError, InputError, BelowWatermarkError, and the stores' errors.
    """
    source = find(platform.catalog, request.dataset, time_column=request.time_column)
    check(source, request)
    match source:
        case Documents():
            with _documents(platform, source, request) as answer:
                yield answer
        case Series() if request.every is not None:
            yield _bars(platform, source, request)
        case Series() if source.archived:
            reading = _as_kept if _needs_no_server(source, request) else _both_tiers
            with reading(platform, source, request) as answer:
                yield answer
        case _:
            with _rows(platform, source, request) as answer:
                yield answer


def statement_of(source: Series | Relation, request: Request) -> tuple[Statement, tuple[Column, ...]]:
    """The SELECT that answers a request for rows, and the columns of its answer."""
    names, _ = chosen(source, request)
    newest_first = request.limit is not None or isinstance(source, Relation)
    return select(
        source,
        names,
        start=request.start,
        end=request.end,
        where=comparisons(source, request),
        limit=None if request.limit is None else request.limit + 1,
        newest_first=newest_first,
    )


def pool_of(platform: Platform, source: Series | Relation) -> Pool:
    return platform.timescale.pool if isinstance(source, Series) else platform.postgres.pool


@contextmanager
def _rows(platform: Platform, source: Series | Relation, request: Request) -> Iterator[Answer]:
    statement, columns = statement_of(source, request)
    _, hidden = chosen(source, request)
    # as long as the reader needs: a file may be large
    with pool_of(platform, source).begin(
        timeout=None, operation="query", target=source.name, local=_READING
    ) as connection:
        options = {"stream_results": True, "max_row_buffer": BATCH}
        with connection.execute(statement.clause(), execution_options=options) as found:
            batches = iter(lambda: list(map(tuple, found.fetchmany(BATCH))), [])
            yield _limited(columns, batches, hidden, request.limit, turned=isinstance(source, Series))


def _needs_no_server(source: Series, request: Request) -> bool:
    """Whether rows of files are the answer as they are: compared by `=` alone, with what is kept of them as it is."""
    where = comparisons(source, request)
    table = source.level.table
    return all(one.operator == "=" and one.column in looked_for(source, where) for one in where) and not any(
        as_text(kind) or isinstance(kind, (sa.JSON, sa.ARRAY))
        for kind in (plain_type(table.columns[name].type) for name in chosen(source, request)[0])
    )


@contextmanager
def _as_kept(platform: Platform, source: Series, request: Request) -> Iterator[Answer]:
    names, hidden = chosen(source, request)
    _, columns = select(source, names)
    asked: dict[str, Any] = {
        "start": request.start,
        "end": request.end,
        "columns": names,
        "where": looked_for(source, comparisons(source, request)),
        "exact": True,
        "timeout": None,
    }
    series, limit = source.level.hypertable, request.limit
    if limit is not None:
        found = platform.timescale.raw(series, limit=limit + 1, newest_first=True, **asked)
        pieces = found.to_batches(max_chunksize=BATCH)
        yield _limited(columns, map(_rows_of, pieces), hidden, limit, turned=True)
        return
    with platform.timescale.stream(series, batch_rows=BATCH, **asked) as batches:
        yield Answer(columns, map(_rows_of, batches), hidden)


def _rows_of(batch: Any) -> list[Row]:
    return list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


@contextmanager
def _both_tiers(platform: Platform, source: Series, request: Request) -> Iterator[Answer]:
    """The same statement over each stretch of time, of the store's table or of rows that are lent to it from files."""
    names, hidden = chosen(source, request)
    where = comparisons(source, request)
    limit = None if request.limit is None else request.limit + 1
    _, columns = select(source, names)
    with platform.timescale.stretches(
        source.level.hypertable,
        columns=list(dict.fromkeys([*names, *order_of(source), *(one.column for one in where)])),
        where=looked_for(source, where),
        start=request.start,
        end=request.end,
        newest_first=limit is not None,
        timeout=None,
        local=_READING,
    ) as stretches:

        def batches() -> Iterator[list[Row]]:
            left = limit
            for stretch in stretches:
                statement, _ = select(
                    Series(stretch.level),
                    names,
                    start=stretch.range.lower,
                    end=stretch.range.upper,
                    where=where,
                    limit=left,
                    newest_first=left is not None,
                )
                options = {"stream_results": True, "max_row_buffer": BATCH}
                with stretch.connection.execute(statement.clause(), execution_options=options) as found:
                    while rows := list(map(tuple, found.fetchmany(BATCH))):
                        left = None if left is None else left - len(rows)
                        yield rows
                if left == 0:
                    return

        yield _limited(columns, batches(), hidden, request.limit, turned=True)


def looked_for(source: Series, where: Sequence[Comparison]) -> dict[str, list[object]]:
    """What files may be looked through for before the server compares: values of columns of text, numbers, UUIDs."""
    found: dict[str, list[object]] = {}
    for one in where:
        kind = source.level.table.columns[one.column].type
        if one.operator == "=" and isinstance(kind, (sa.String, sa.Integer, sa.Uuid)):
            found.setdefault(one.column, []).append(one.value)
    return {column: values for column, values in found.items() if "" not in values}


def _limited(
    columns: tuple[Column, ...],
    batches: Iterator[list[Row]],
    hidden: tuple[str, ...],
    limit: int | None,
    *,
    turned: bool,
) -> Answer:
    """The answer of what was read newest first, one row more than `limit`; as it came where there is none."""
    if limit is None:
        return Answer(columns, batches, hidden)
    rows = [row for batch in batches for row in batch]
    kept = rows[:limit]
    return Answer(columns, iter([kept[::-1] if turned else kept]), hidden, cut=len(rows) > limit)


def _bars(platform: Platform, source: Series, request: Request) -> Answer:
    assert request.every is not None, "it was asked for bars"
    hypertable = source.level.hypertable
    kinds = {column.name: column.kind for column in bar_columns(hypertable)}
    names = checked_columns(source, request.columns, tuple(kinds)) if request.columns is not None else tuple(kinds)
    keys = [one.value for one in comparisons(source, request)]
    bars = platform.timescale.bars(
        hypertable,
        keys or None,
        every=request.every,
        start=request.start,
        end=request.end,
        gaps=request.gaps,
        zone=request.zone,
        origin=request.origin,
        exact=True,
    )
    cut = request.limit is not None and bars.num_rows > request.limit
    if request.limit is not None:
        bars = bars.slice(max(0, bars.num_rows - request.limit))
    columns = tuple(Column(name, kinds[name]) for name in names)
    pieces = bars.select(list(names)).to_batches(max_chunksize=BATCH)
    return Answer(columns, map(_rows_of, pieces), cut=cut)


def document_filter(source: Documents, request: Request) -> dict[str, Any]:
    """The filter of MongoDB for a request."""
    bounds: dict[str, Any] = {}
    if request.start is not None:
        bounds["$gte"] = request.start
    if request.end is not None:
        bounds["$lt"] = request.end
    wanted = mongo_filter(source, comparisons(source, request))
    if not bounds:
        return wanted
    within = {source.time: bounds}
    if not wanted:
        return within
    return {"$and": [within, *wanted["$and"]]} if "$and" in wanted else {"$and": [within, wanted]}


def require_collection(platform: Platform, source: Documents) -> None:
    """Raises NotMigratedError where the collection is not there: MongoDB would answer with no documents."""
    database = platform.mongo.database(source.domain.name)
    with translated("query", source.name):
        there = database.list_collection_names(filter={"name": source.collection.name})
    if not there:
        raise NotMigratedError(
            f"there is no collection {source.collection.name} in database {database.name}",
            operation="query",
            target=source.name,
            hint="run storekeeper migrate",
        )


@contextmanager
def _documents(platform: Platform, source: Documents, request: Request) -> Iterator[Answer]:
    names, hidden = chosen(source, request)
    columns = tuple(Column(name, *column_type(source.fields[name])) for name in names)
    require_collection(platform, source)
    limit = request.limit
    with translated("query", source.name):
        cursor = platform.mongo.collection(source.name).find(
            document_filter(source, request),
            dict.fromkeys(names, True) | {"_id": False},
            sort=[(source.time, 1 if limit is None else -1)],
            limit=0 if limit is None else limit + 1,
            batch_size=BATCH,
        )
        with cursor:
            yield _limited(columns, _batched(cursor, columns), hidden, limit, turned=True)


def _batched(cursor: Any, columns: tuple[Column, ...]) -> Iterator[list[Row]]:
    rows: list[Row] = []
    for document in cursor:
        rows.append(as_row(document, columns))
        if len(rows) == BATCH:
            yield rows
            rows = []
    if rows:
        yield rows
