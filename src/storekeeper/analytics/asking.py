"""What is asked of a dataset, and what an answer is: requests are checked before any store is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import sqlalchemy as sa

from storekeeper.analytics.comparisons import Comparison, mongo_filter
from storekeeper.analytics.datasets import Documents, Series, Source, checked_columns
from storekeeper.analytics.statements import Column
from storekeeper.errors import ColumnError, InputError
from storekeeper.span import Span, days
from storekeeper.stores.timescale.gaps import Gaps, check_gaps
from storekeeper.timescale.calendars import Calendar, calendar_of, zone_of
from storekeeper.timescale.shapes import shape_of

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows that are held as Python objects at once.
BATCH: Final = 10_000
#: Rows of an answer for people who do not say how many.
SHOWN: Final = 50

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


def chosen(source: Source, request: Request) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns to be read, and those that are left out as personal. Raises ColumnError."""
    if request.columns is not None:
        return checked_columns(source, request.columns), ()
    return tuple(name for name in source.columns if name not in source.hidden), source.hidden


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
