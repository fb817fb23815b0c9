"""Where the rows of a dataset lie in time: its first and its last, found by the chunks at both ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from storekeeper.analytics.asking import Request, comparisons, utc
from storekeeper.analytics.comparisons import Comparison, mongo_filter
from storekeeper.analytics.datasets import Documents, Relation, Series, Source, find
from storekeeper.analytics.reading import looked_for, require_collection
from storekeeper.analytics.statements import select_extent
from storekeeper.stores.mongo.failures import translated
from storekeeper.timescale.levels import Level
from storekeeper.timescale.routing import fitting
from storekeeper.timescale.shapes import shape_of
from storekeeper.timescale.tiers import TICK

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from storekeeper.platform import Platform


@dataclass(frozen=True, slots=True)
class Extent:
    """The times of the first and of the last row that a request could have, whatever its range. None: no row.

    `filtered` says whether they are of the rows that the request chooses; where none is, they are of all rows. `gone`
    is the time before which retention has dropped rows that no archive has.
    """

    first: datetime | None
    last: datetime | None
    filtered: bool = True
    gone: datetime | None = None


def extent(platform: Platform, request: Request, *, last: bool = False) -> Extent:
    """Where the rows lie that the request chooses; of all rows, where it chooses none. With `last` the first of them
    may be a later one: no file of the archive is read to find an older than the store has."""
    source = find(platform.catalog, request.dataset, time_column=request.time_column)
    where = comparisons(source, request)
    if source.time is None:
        return Extent(None, None)
    levels = _levels(source, request)
    gone = platform.timescale.complete_from(source.name) if isinstance(source, Series) else None
    ends = _ends(platform, source, levels, where, last)
    if ends is None and where:
        ends = _ends(platform, source, levels, (), last)
        return _extent(ends, gone, filtered=False)
    return _extent(ends, gone, filtered=True)


def _extent(ends: tuple[datetime, datetime] | None, gone: datetime | None, *, filtered: bool) -> Extent:
    first, last = ends or (None, None)
    return Extent(first, last, filtered, gone)


def _levels(source: Source, request: Request) -> tuple[Level, ...]:
    """What bars may come from: the rows, and the coarsest rollup that may answer bars of that width."""
    if not isinstance(source, Series):
        return ()
    if request.calendar is None:
        return (source.level,)
    hypertable = source.level.hypertable
    coarsest = fitting(hypertable, request.calendar, shape_of(hypertable))[0]
    return tuple(dict.fromkeys((source.level, coarsest)))


def _ends(
    platform: Platform, source: Source, levels: Sequence[Level], where: Sequence[Comparison], last: bool
) -> tuple[datetime, datetime] | None:
    if isinstance(source, Documents):
        return _of_documents(platform, source, where)
    if isinstance(source, Relation):
        with platform.postgres.begin(operation="query", target=source.name) as connection:
            return _selected(connection, source, None, None, where)
    series = [Series(level) for level in levels]
    found = [ends for one in series if (ends := _of_chunks(platform, one, where)) is not None]
    for one in series:
        if not one.archived or (found and last):
            continue
        if (ends := _of_archive(platform, one, where, also_newest=not found)) is not None:
            found.append(ends)
    return (min(first for first, _ in found), max(last for _, last in found)) if found else None


def _of_archive(
    platform: Platform, source: Series, where: Sequence[Comparison], *, also_newest: bool
) -> tuple[datetime, datetime] | None:
    """Without comparisons as the ledger has it; else file by file from the newest end and from the oldest, or from the
    oldest alone."""
    dataset = source.level.hypertable
    if not where:
        held = platform.timescale.archived_extent(dataset)
        return None if held is None else (held.lower, held.upper - TICK)

    def first_of(*, newest_first: bool) -> tuple[datetime, datetime] | None:
        with platform.timescale.stretches(
            dataset,
            columns=list(dict.fromkeys([source.time, *(one.column for one in where)])),
            where=looked_for(source, where),
            newest_first=newest_first,
            archived=True,
        ) as stretches:
            for stretch in stretches:
                lower, upper = stretch.range.lower, stretch.range.upper
                ends = _selected(stretch.connection, Series(stretch.level), lower, upper, where)
                if ends is not None:
                    return ends
        return None

    newest = first_of(newest_first=True) if also_newest else None
    oldest = first_of(newest_first=False) if newest or not also_newest else None
    return (oldest[0], (newest or oldest)[1]) if oldest else None


def _of_chunks(platform: Platform, source: Series, where: Sequence[Comparison]) -> tuple[datetime, datetime] | None:
    """From each end, chunk by chunk: no index is of the time alone."""
    chunks = platform.timescale.chunks(source.name)
    with platform.timescale.pool.begin(operation="query", target=source.name) as connection:

        def first_of(ranges: Iterable[tuple[datetime, datetime]]) -> tuple[datetime, datetime] | None:
            found = (_selected(connection, source, lower, upper, where) for lower, upper in ranges)
            return next((ends for ends in found if ends is not None), None)

        ranges = [(chunk.range.lower, chunk.range.upper) for chunk in chunks]
        oldest, newest = first_of(ranges), first_of(reversed(ranges))
    return (oldest[0], newest[1]) if oldest and newest else None


def _selected(
    connection: Connection,
    source: Series | Relation,
    start: datetime | None,
    end: datetime | None,
    where: Sequence[Comparison],
) -> tuple[datetime, datetime] | None:
    first, last = connection.execute(select_extent(source, start, end, where).clause()).one()
    return None if first is None else (_moment(first), _moment(last))


def _moment(value: object) -> datetime:
    """A column of days gives days."""
    from datetime import date, time

    assert isinstance(value, date), "the column is one of time"
    return utc(value if isinstance(value, datetime) else datetime.combine(value, time()))


def _of_documents(
    platform: Platform, source: Documents, where: Sequence[Comparison]
) -> tuple[datetime, datetime] | None:
    require_collection(platform, source)
    wanted, ends = mongo_filter(source, where), []
    with translated("query", source.name):
        for direction in (1, -1):
            found = platform.mongo.collection(source.name).find_one(
                wanted, {source.time: True}, sort=[(source.time, direction)]
            )
            if found is None or not isinstance(found.get(source.time), datetime):
                return None
            ends.append(utc(found[source.time]))
    return ends[0], ends[1]
