"""One way to read any dataset that lies in time: bars, raw rows or documents between two moments, as Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from storekeeper.errors import ColumnError, DeclarationError, InputError
from storekeeper.span import Span

if TYPE_CHECKING:
    import pyarrow as pa

    from storekeeper.platform import Platform


@dataclass(frozen=True)
class Request:
    """What is asked for: [start, end) of a dataset, filtered by equality, its newest `limit` rows.

    `every` asks for bars of that width (hypertables alone); `columns` None means all of them.
    """

    dataset: str
    start: datetime
    end: datetime
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    every: Span | None = None
    columns: tuple[str, ...] | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise InputError(
                f"from {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} is no range",
                operation="query",
                target=self.dataset,
                hint="--from lies before --to",
            )


def read(platform: Platform, request: Request) -> pa.Table:
    """The answer, oldest row first, numbers exact. Raises DeclarationError where no dataset has that name."""
    hypertables = {h.name for h in platform.catalog.hypertables}
    collections = {f"{domain.name}.{collection.name}" for domain, collection in platform.catalog.collections}
    if request.dataset in hypertables:
        return _series(platform, request)
    if request.dataset in collections:
        return _documents(platform, request)
    raise DeclarationError(
        "is no hypertable or collection",
        operation="query",
        target=request.dataset,
        hint=f"known: {', '.join(sorted(hypertables | collections))}",
    )


def _series(platform: Platform, request: Request) -> pa.Table:
    hypertable = platform.catalog.hypertable(request.dataset)
    unknown = set(request.where) - set(hypertable.columns)
    if unknown:
        raise ColumnError(
            f"no column {', '.join(sorted(unknown))}",
            operation="query",
            target=request.dataset,
            hint=f"it has {', '.join(hypertable.columns)}",
        )
    if request.every is None:
        rows = platform.timescale.raw(
            hypertable,
            start=request.start,
            end=request.end,
            where=request.where or None,
            columns=request.columns,
            limit=request.limit,
            exact=True,
            newest_first=request.limit is not None,
        )
        return rows if request.limit is None else _reversed(rows)
    key = hypertable.segment_by[0] if hypertable.segment_by else None
    if set(request.where) - {key}:
        raise InputError(
            f"bars are chosen by {key} alone",
            operation="query",
            target=request.dataset,
            hint="ask for rows, without --bars, where other columns choose",
        )
    bars = platform.timescale.bars(
        hypertable,
        request.where.get(key) if key else None,
        every=request.every,
        start=request.start,
        end=request.end,
        exact=True,
    )
    if request.columns is not None:
        bars = _chosen(bars, request)
    return bars if request.limit is None else bars.slice(max(0, bars.num_rows - request.limit))


def _reversed(rows: pa.Table) -> pa.Table:
    import pyarrow as pa

    return rows.take(pa.array(range(rows.num_rows - 1, -1, -1), pa.int64()))


def _chosen(bars: pa.Table, request: Request) -> pa.Table:
    unknown = [name for name in request.columns or () if name not in bars.column_names]
    if unknown:
        raise ColumnError(
            f"bars have no column {', '.join(unknown)}",
            operation="query",
            target=request.dataset,
            hint=f"they have {', '.join(bars.column_names)}",
        )
    return bars.select(list(request.columns or bars.column_names))


def _documents(platform: Platform, request: Request) -> pa.Table:
    import pyarrow as pa

    if request.every is not None:
        raise InputError(
            "is a collection, and bars are of hypertables",
            operation="query",
            target=request.dataset,
            hint="ask for its documents, without --bars",
        )
    where: dict[str, Any] = {
        name: values[0] if len(values) == 1 else {"$in": list(values)} for name, values in request.where.items()
    }
    found = platform.mongo.find(
        request.dataset, start=request.start, end=request.end, where=where or None, limit=request.limit
    )
    _, collection = platform.catalog.collection(request.dataset)
    names = request.columns or tuple(info.alias or name for name, info in collection.model.model_fields.items())
    rows = list(reversed(found))

    def column(name: str) -> list[Any]:
        return [_flat(row.get(name)) for row in rows]

    return pa.table({name: pa.array(column(name)) for name in names})


def _flat(value: object) -> object:
    """A document's field as a cell: objects and lists as JSON, UUIDs as text."""
    import json
    from uuid import UUID

    if isinstance(value, (dict, list)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value) if isinstance(value, UUID) else value
