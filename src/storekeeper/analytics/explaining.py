"""What a query would do, without doing it: the statement, what answers each part of the range, the server's plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pymongo.errors import OperationFailure

from storekeeper.analytics.asking import Request, check, chosen, comparisons
from storekeeper.analytics.datasets import Documents, Series, Source, find
from storekeeper.analytics.reading import document_filter, pool_of, require_collection, statement_of
from storekeeper.catalog import Range
from storekeeper.errors import InputError
from storekeeper.stores.mongo.failures import translated
from storekeeper.stores.sql.running import inspected
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.routing import Part
from storekeeper.timescale.statement import Statement
from storekeeper.timescale.tiers import FIRST, LAST

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from storekeeper.platform import Platform


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
    cold = _archived(platform, source, request) if isinstance(source, Series) and source.archived else ()
    parts = (*cold, Part(request.start, request.end, source.name, reason))
    with pool_of(platform, source).begin(operation="explain", target=source.name) as connection:
        touchable = (source.level,) if isinstance(source, Series) else ()
        return _explained(platform, connection, source, statement, parts, touchable)


def _archived(platform: Platform, source: Series, request: Request) -> tuple[Part, ...]:
    """What of the range only files have; the statement is the store's, and is asked of their rows in the same way."""
    held = platform.timescale.archived(source.level.hypertable)
    if request.start is not None or request.end is not None:
        asked = Range(request.start or FIRST, request.end or LAST)
        held = [Range(max(one.lower, asked.lower), min(one.upper, asked.upper)) for one in held if one.overlaps(asked)]
    return tuple(
        Part(one.lower, one.upper, f"the archive of {source.name}", "retention has dropped it") for one in held
    )


def _bars(platform: Platform, source: Series, request: Request) -> Explanation:
    """As `Timescale.bars` decides it."""
    assert request.every is not None, "it was asked for bars"
    hypertable = source.level.hypertable
    found = platform.timescale.explain(
        hypertable,
        [one.value for one in comparisons(source, request)] or None,
        every=request.every,
        start=request.start,
        end=request.end,
        zone=request.zone,
        origin=request.origin,
        exact=True,
    )
    if found.window is None:
        raise InputError("it holds no rows", operation="explain", target=source.name, hint="put some in: ingest")
    if found.statement is None:
        return Explanation(source.name, source.kind, found.parts, note="only the archive is read: no server has a plan")
    read = next(level for level in levels(hypertable) if level.name == found.level)
    with platform.timescale.pool.begin(operation="explain", target=source.name) as connection:
        touched = tuple(dict.fromkeys((Level(hypertable, 0), read)))
        return _explained(platform, connection, source, found.statement, found.parts, touched)


def _explained(
    platform: Platform,
    connection: Connection,
    source: Source,
    statement: Statement,
    parts: tuple[Part, ...],
    touchable: Sequence[Level],
) -> Explanation:
    plan = [str(line) for (line,) in connection.execute(_explaining(statement, "TEXT"))]
    (tree,) = connection.execute(_explaining(statement, "JSON")).scalar_one()
    read = set(_relations(tree["Plan"]))
    touched = []
    for level in touchable:
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
