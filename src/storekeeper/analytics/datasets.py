"""What the name of a dataset stands for when it is read: a series, a relational table or a collection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from storekeeper.catalog import Catalog, Collection, Domain, TableLifecycle
from storekeeper.errors import ColumnError, DeclarationError
from storekeeper.timescale.levels import Level, levels


@dataclass(frozen=True)
class Series:
    """A hypertable's rows, or one of its rollups."""

    level: Level

    store: Literal["timescale"] = "timescale"
    hidden: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.level.name

    @property
    def kind(self) -> str:
        return "rollup" if self.level.depth else "hypertable"

    @property
    def archived(self) -> bool:
        """Whether a part of its rows may lie in the cold tier."""
        return self.level.hypertable.archive and not self.level.depth

    @property
    def time(self) -> str:
        return self.level.time

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.level.table.columns.keys())

    @property
    def key(self) -> str | None:
        """The column that tells its lines apart, where that is one."""
        by = self.level.rollup.by if self.level.rollup else self.level.hypertable.segment_by
        return by[0] if len(by) == 1 else ("symbol" if "symbol" in self.columns else None)


@dataclass(frozen=True)
class Relation:
    """A relational table. `time` is the column that a range is of: what its lifecycle or its partitions go by, else
    created_at, else its only time; None where there is none. `hidden` are the columns that identify a person, or hold a
    digest: they are read only where they are asked for by name, and by a role that may."""

    table: sa.Table
    lifecycle: TableLifecycle | None = None
    chosen: str | None = None
    hidden: tuple[str, ...] = ()

    store: Literal["postgres"] = "postgres"
    kind: Literal["table"] = "table"

    @property
    def name(self) -> str:
        return f"{self.table.schema}.{self.table.name}"

    @property
    def times(self) -> tuple[str, ...]:
        """Its columns that hold times or days."""
        return tuple(c.name for c in self.table.columns if isinstance(c.type, (sa.DateTime, sa.Date)))

    @property
    def time(self) -> str | None:
        if self.chosen is not None:
            return self.chosen
        life = self.lifecycle
        declared = life and (life.since or (life.partition.column if life.partition else None))
        if declared:
            return declared
        if "created_at" in self.times:
            return "created_at"
        return self.times[0] if len(self.times) == 1 else None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.table.columns.keys())

    @property
    def key(self) -> str | None:
        return "symbol" if "symbol" in self.columns else None


@dataclass(frozen=True)
class Documents:
    """A collection; its columns are the fields of its model, as they are stored."""

    domain: Domain
    collection: Collection

    store: Literal["mongo"] = "mongo"
    hidden: tuple[str, ...] = ()
    kind: Literal["collection"] = "collection"

    @property
    def name(self) -> str:
        return f"{self.domain.name}.{self.collection.name}"

    @property
    def time(self) -> str:
        return self.collection.time

    @property
    def fields(self) -> dict[str, Any]:
        """The model's annotation of each field, by the name under which it is stored."""
        return {info.alias or name: info.annotation for name, info in self.collection.model.model_fields.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.fields)

    @property
    def key(self) -> str | None:
        return "symbol" if "symbol" in self.columns else None


Source: TypeAlias = Series | Relation | Documents


def find(catalog: Catalog, name: str, *, time_column: str | None = None) -> Source:
    """The dataset of this name; `time_column` is what a range of a table is to be of.

    Raises DeclarationError where there is none, with names that are close, and ColumnError for the time column.
    """
    sources = {source.name: source for source in _all(catalog)}
    source = sources.get(name)
    if source is None:
        raise DeclarationError(
            "no such dataset", operation="query", target=name, hint=near(name, sources, what="the catalogue has")
        )
    if time_column is None:
        return source
    if not isinstance(source, Relation):
        raise ColumnError(
            f"the time of a {source.kind} is its {source.time}",
            operation="query",
            target=name,
            hint="leave out time_column (--time-column): it is for tables",
        )
    if time_column not in source.times:
        raise ColumnError(
            f"{time_column} is no time of it",
            operation="query",
            target=name,
            hint=f"its times are {', '.join(source.times)}" if source.times else "it has none",
        )
    return replace(source, chosen=time_column)


def near(name: str, known: Iterable[str], *, what: str) -> str:
    """A hint: the names that are close to a wrong one, else all of them."""
    names = list(known)
    last = {one.rpartition(".")[2]: one for one in names}
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    close += [last[part] for part in get_close_matches(name.rpartition(".")[2], last, n=3, cutoff=0.6)]
    if close:
        return f"did you mean {' or '.join(dict.fromkeys(close))}?"
    return f"{what} {', '.join(names) or 'none'}"


def checked_columns(source: Source, names: Sequence[str], known: Sequence[str] | None = None) -> tuple[str, ...]:
    """The names, each of which is a column of the dataset (or of `known`), once. Raises ColumnError."""
    known = source.columns if known is None else known
    for name in names:
        if name not in known:
            hint = near(name, known, what="it has")
            if hint.startswith("did"):
                hint += f" It has {', '.join(known)}"
            raise ColumnError(f"there is no column {name!r}", operation="query", target=source.name, hint=hint)
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ColumnError(f"asked for twice: {', '.join(twice)}", operation="query", target=source.name)
    return tuple(names)


def _all(catalog: Catalog) -> Iterable[Source]:
    for domain in catalog.domains:
        for hypertable in domain.hypertables:
            yield from map(Series, levels(hypertable))
        lives = {life.name: life for life in domain.lifecycles}
        hidden = {protection.name: protection.hidden for protection in domain.protections}
        for table in domain.tables:
            name = f"{table.schema}.{table.name}"
            yield Relation(table, lives.get(name), hidden=hidden.get(name, ()))
        for collection in domain.collections:
            yield Documents(domain, collection)
