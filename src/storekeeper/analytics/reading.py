"""One way to read any dataset: bars, rows of a series, rollup or table, documents; in batches, or as Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import sqlalchemy as sa

from storekeeper.analytics.comparisons import Comparison, mongo_filter
from storekeeper.analytics.datasets import Documents, Relation, Series, Source, checked_columns, find
from storekeeper.analytics.documents import as_row, column_type
from storekeeper.analytics.statements import Column, order_of, select
from storekeeper.catalog import plain_type
from storekeeper.errors import ColumnError, InputError, NotMigratedError
from storekeeper.span import Span, days
from storekeeper.stores.mongo.failures import translated
from storekeeper.stores.timescale.gaps import Gaps, check_gaps
from storekeeper.timescale.archived import as_text
from storekeeper.timescale.calendars import Calendar, calendar_of, zone_of
from storekeeper.timescale.shapes import bar_columns, shape_of
from storekeeper.timescale.statement import Statement

if TYPE_CHECKING:
    import pyarrow as pa

    from storekeeper.platform import Platform
    from storekeeper.stores.sql.pool import Pool

#: Rows that are held as Python objects at once.
BATCH: Final = 10_000
#: Rows of an answer for people who do not say how many.
SHOWN: Final = 50
#: All rows are fetched: plan for the last, not for the first.
_READING: Final = {"cursor_tuple_fraction": "1"}

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class Request:
    """What is asked for: rows of [start, end) of a dataset, where all comparisons hold, the newest `limit` of them.

    None leaves an end of the range open. `keys` are values of the series' key (its symbol), `every` asks for bars of
    that width (hypertables alone), with `gaps`, `zone` and `origin` as `Timescale.bars` takes them; `columns` None: all
    but personal ones; `time_column` is what a range of a table is of. Raises InputError where the range is none.
    """

    dataset: str
    start: datetime | None = None
    end: datetime | None = None
    keys: Sequence[str] = ()
    where: Sequence[Comparison] = ()
    every: Span | None = None
    columns: Sequence[str] | None = None
    limit: int | None = None
    time_column: str | None = None
    gaps: Gaps = "none"
    zone: str | None = None
    origin: datetime | time | None = None

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise InputError(
                f"from {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} is no range",
                operation="query",
                target=self.dataset,
                hint="--from lies before --to: the start before the end",
            )
        check_gaps(self.gaps, target=self.dataset)
        zone_of(self.zone, target=self.dataset)
        if self.every is None and (self.gaps != "none" or self.origin is not None):
            raise InputError(
                "gaps and an origin are of bars, and rows were asked for",
                operation="query",
                target=self.dataset,
                hint="say how wide bars are to be: every=hours(1), or --bars 1h",
            )
        self.calendar  # noqa: B018  # a zone or an origin that is none is told at once

    @property
    def calendar(self) -> Calendar | None:
        """Whose buckets the bars are; None of rows."""
        if self.every is None:
            return None
        return calendar_of(self.every, self.zone, self.origin, target=self.dataset)


@dataclass(frozen=True)
class Answer:
    """Rows in batches, to be taken once, while the store is being read.

    Series and documents come oldest first; tables newest first, or by key where they have no time. `hidden` are columns
    that are left out because they are personal; `cut` says whether `limit` left out older rows.
    """

    columns: tuple[Column, ...]
    batches: Iterator[Sequence[Row]]
    hidden: tuple[str, ...] = ()
    cut: bool = False

    def table(self) -> pa.Table:
        """All rows as Arrow, numbers exact. Raises ValueFitError where Arrow has no room for one."""
        from storekeeper.stores.sql.arrow import pa as arrow

        schema = arrow_schema(self.columns)
        table: pa.Table = arrow.Table.from_batches([arrow_batch(self.columns, batch) for batch in self.batches], schema)
        return table


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


def check(source: Source, request: Request) -> None:
    """Raises ColumnError or InputError where this cannot be asked of that dataset."""
    if request.every is not None and not (isinstance(source, Series) and not source.level.depth):
        of = f"; ask for bars of {source.level.hypertable.name}" if isinstance(source, Series) else ""
        raise InputError(
            f"is a {source.kind}, and bars are of hypertables",
            operation="query",
            target=request.dataset,
            hint=f"leave out `every` (--bars){of}",
        )
    if request.keys and source.key is None:
        raise ColumnError(
            "has no symbol, nor another column that tells its lines apart",
            operation="query",
            target=request.dataset,
            hint=f"compare a column: `where` (--where COLUMN=VALUE); it has {', '.join(source.columns)}",
        )
    if source.time is None and (request.start is not None or request.end is not None):
        times = getattr(source, "times", ())
        raise InputError(
            f"has several times: {', '.join(times)}" if times else "has no time that a range could be of",
            operation="query",
            target=request.dataset,
            hint=f"choose one: time_column={times[0]!r}, or --time-column {times[0]}"
            if times
            else "leave out start and end (--from, --to, --last)",
        )
    if isinstance(source, Documents):
        mongo_filter(source, request.where)
    else:
        checked_columns(source, list(dict.fromkeys(one.column for one in request.where)))
    if request.every is not None and isinstance(source, Series):
        others = sorted({one.column for one in request.where if (one.column, one.operator) != (source.key, "=")})
        if others or (request.where and len(shape_of(source.level.hypertable).by) != 1):
            raise InputError(
                f"bars are chosen by {source.key} alone",
                operation="query",
                target=request.dataset,
                hint="ask for rows, without `every` (--bars), where other columns choose",
            )


def comparisons(source: Source, request: Request) -> tuple[Comparison, ...]:
    """What is asked of the columns, keys included."""
    keys = tuple(Comparison(source.key, "=", key) for key in request.keys) if source.key else ()
    return (*keys, *request.where)


def default_range(newest: datetime | None, request: Request) -> Request:
    """The request with a range, where it has none: the day that ends with the newest row, or as many bars as `limit`
    (or 50) where those are longer. Without a row there is no range."""
    if newest is None or request.start is not None or request.end is not None:
        return request
    end = newest + timedelta(milliseconds=1)  # MongoDB knows no shorter time
    start = bars_from = days(1).before(end)
    if request.calendar is not None:
        bars_from = request.calendar.floor(newest)
        for _ in range((request.limit or SHOWN) - 1):
            bars_from = request.calendar.before(bars_from)
    return replace(request, start=min(start, bars_from), end=end)


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


def chosen(source: Source, request: Request) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns to be read, and those that are left out as personal. Raises ColumnError."""
    if request.columns is not None:
        return checked_columns(source, request.columns), ()
    return tuple(name for name in source.columns if name not in source.hidden), source.hidden


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


def arrow_schema(columns: Sequence[Column]) -> Any:
    """The Arrow schema of an answer: what is JSON is text there."""
    from storekeeper.stores.timescale.answers import schema_of

    return schema_of([(column.name, sa.Text() if column.json else column.kind) for column in columns], exact=True)


def arrow_batch(columns: Sequence[Column], rows: Sequence[Row]) -> Any:
    """Rows as one record batch. Raises ValueFitError where a value has no place in its column's type."""
    from storekeeper.stores.timescale.answers import batch_of

    return batch_of(rows, arrow_schema(columns), target="the answer")


def utc(moment: datetime) -> datetime:
    """A time of a column: without a zone, it is in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
