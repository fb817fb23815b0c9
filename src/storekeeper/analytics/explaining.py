"""What a query would do, without doing it: the statement, what answers each part of the range, the server's plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pymongo.errors import OperationFailure

from storekeeper.analytics.datasets import Documents, Series, Source, find
from storekeeper.analytics.reading import (
    Request,
    check,
    chosen,
    comparisons,
    document_filter,
    pool_of,
    require_collection,
    statement_of,
)
from storekeeper.catalog import Range
from storekeeper.errors import InputError
from storekeeper.ledger import series
from storekeeper.stores.mongo.failures import translated
from storekeeper.stores.sql.running import inspected
from storekeeper.timescale.bars import level_for, select_bars
from storekeeper.timescale.chunks import aligned
from storekeeper.timescale.levels import Level
from storekeeper.timescale.statement import Statement

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from storekeeper.platform import Platform


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the range, what answers it, and why. None is an open end."""

    start: datetime | None
    end: datetime | None
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Touched:
    """How many chunks of a series the plan reads, out of how many."""

    dataset: str
    chunks: int
    of: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would be asked of which store: a SQL statement with its values, or MongoDB's `find`; nothing was run.

    `plan` is the server's own, its lines for SQL, a document for MongoDB; None with a `note` where it has none.
    """

    dataset: str
    kind: str
    parts: tuple[Part, ...]
    sql: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    find: Mapping[str, Any] | None = None
    touched: tuple[Touched, ...] = ()
    plan: Sequence[str] | Mapping[str, Any] | None = None
    note: str = ""


def explain(platform: Platform, request: Request) -> Explanation:
    """Explains a request; runs none of it (EXPLAIN without ANALYZE). Raises what the request itself would raise before
    its first row."""
    source = find(platform.catalog, request.dataset, time_column=request.time_column)
    check(source, request)
    if isinstance(source, Documents):
        return _documents(platform, source, request)
    if isinstance(source, Series) and request.every is not None:
        return _bars(platform, source, request)
    statement, _ = statement_of(source, request)
    reason = "a rollup by its name is read as it is" if source.kind == "rollup" else "rows were asked for, not bars"
    if source.kind == "table":
        reason = f"its time is {source.time}" if source.time else "it has no time of its own: in order of its key"
    parts = (Part(request.start, request.end, source.name, reason),)
    with pool_of(platform, source).begin(operation="explain", target=source.name) as connection:
        levels = (source.level,) if isinstance(source, Series) else ()
        return _explained(platform, connection, source, statement, parts, levels)


def _bars(platform: Platform, source: Series, request: Request) -> Explanation:
    """As `Timescale.bars` decides it, in one snapshot."""
    every, hypertable = request.every, source.level.hypertable
    assert every is not None, "it was asked for bars"
    level = level_for(hypertable, every)
    engine = platform.timescale.engine
    with platform.timescale.pool.begin(
        isolation="repeatable read", operation="explain", target=source.name
    ) as connection:
        floor, gone = (_watermark(connection, one.name) for one in (Level(hypertable, 0), level))
        held = [
            chunk.range
            for one in dict.fromkeys((Level(hypertable, 0), level))
            for chunk in inspected(connection, engine.chunks(one))
        ]
        if (request.start is None or request.end is None) and not held:
            raise InputError("it holds no rows", operation="explain", target=source.name, hint="put some in: ingest")
        start = request.start or max(min(piece.lower for piece in held), gone or min(piece.lower for piece in held))
        window = Range(every.floor(start), every.ceil(request.end or max(piece.upper for piece in held)))
        stale: list[Range] = []
        for finer in level.finer:
            stale += inspected(connection, engine.pending(finer))
        if level.depth:
            stale = list(aligned(stale, level.buckets.every))
        keys = [one.value for one in comparisons(source, request)] or None
        statement = select_bars(level, every, window, stale, floor, keys, exact=True)
        parts = tuple(parts_of(level, str(every), window, stale, floor))
        touched = tuple(dict.fromkeys((Level(hypertable, 0), level)))
        return _explained(platform, connection, source, statement, parts, touched)


def parts_of(level: Level, every: str, window: Range, stale: Sequence[Range], floor: datetime | None) -> Iterator[Part]:
    """The window of bars, cut where another table answers: the rollup, or rows where it is behind. Pure."""
    rows = Level(level.hypertable, 0).name
    if not level.depth:
        rollups = ", ".join(rollup.name for rollup in level.hypertable.rollups)
        why = f"no rollup's buckets fill bars of {every} ({rollups})" if rollups else "it has no rollups"
        yield Part(window.lower, window.upper, rows, why)
        return
    best = f"the coarsest rollup whose buckets of {level.buckets.every} fill bars of {every}"
    fresh = [
        Range(max(piece.lower, window.lower, *([floor] if floor else [])), min(piece.upper, window.upper))
        for piece in sorted(stale)
        if piece.overlaps(window) and (floor is None or piece.upper > floor)
    ]
    at = window.lower
    for piece in fresh:
        if at < piece.lower:
            yield Part(at, piece.lower, level.name, best)
        yield Part(max(at, piece.lower), piece.upper, rows, f"changed since {level.table_name} was refreshed")
        at = max(at, piece.upper)
    if at < window.upper:
        yield Part(at, window.upper, level.name, best)


def _explained(
    platform: Platform,
    connection: Connection,
    source: Source,
    statement: Statement,
    parts: tuple[Part, ...],
    levels: Sequence[Level],
) -> Explanation:
    plan = [str(line) for (line,) in connection.execute(_explaining(statement, "TEXT"))]
    (tree,) = connection.execute(_explaining(statement, "JSON")).scalar_one()
    read = set(_relations(tree["Plan"]))
    touched = []
    for level in levels:
        chunks = {chunk.name for chunk in inspected(connection, platform.timescale.engine.chunks(level))}
        touched.append(Touched(level.name, len(chunks & read), len(chunks)))
    return Explanation(
        source.name, source.kind, parts, statement.sql, statement.parameters, touched=tuple(touched), plan=plan
    )


def _explaining(statement: Statement, form: str) -> sa.TextClause:
    return Statement(f"EXPLAIN (FORMAT {form}) {statement.sql}", statement.parameters).clause()


def _relations(node: Mapping[str, Any]) -> Iterator[str]:
    if "Relation Name" in node:
        yield str(node["Relation Name"])
    for inner in node.get("Plans", ()):
        yield from _relations(inner)


def _watermark(connection: Connection, dataset: str) -> datetime | None:
    row = connection.execute(series.watermark(dataset)).first()
    return None if row is None else row.dropped_before


def _documents(platform: Platform, source: Documents, request: Request) -> Explanation:
    require_collection(platform, source)
    names, _ = chosen(source, request)
    asked: dict[str, Any] = {
        "find": source.collection.name,
        "filter": document_filter(source, request),
        "projection": dict.fromkeys(names, True) | {"_id": False},
        "sort": {source.time: 1 if request.limit is None else -1},
    }
    if request.limit is not None:
        asked["limit"] = request.limit + 1
    with translated("explain", source.name):
        found = _asked(platform.mongo.database(source.domain.name), asked)
    plan, note = (None, found) if isinstance(found, str) else (found.get("queryPlanner", found), "")
    parts = (Part(request.start, request.end, source.name, f"its time is {source.time}"),)
    return Explanation(source.name, source.kind, parts, find=asked, plan=plan, note=note)


def _asked(database: Any, asked: Mapping[str, Any]) -> Any:
    """The server's plan, or why it gives none."""
    try:
        return database.command("explain", dict(asked), verbosity="queryPlanner")
    except OperationFailure as error:
        return f"this server explains no plan: {error.details.get('errmsg', error) if error.details else error}"
