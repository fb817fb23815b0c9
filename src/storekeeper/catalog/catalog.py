"""The catalogue: the domains of an installation, merged and checked."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from storekeeper.catalog.backup import BackupPolicy
from storekeeper.catalog.documents import Collection
from storekeeper.catalog.domain import Domain
from storekeeper.catalog.effects import Effect
from storekeeper.catalog.hypertable import Hypertable
from storekeeper.catalog.jobs import DomainJob
from storekeeper.catalog.keys import Keyspace
from storekeeper.catalog.protection import Protection, unprotected
from storekeeper.catalog.rollup import Rollup
from storekeeper.catalog.tables import TableLifecycle
from storekeeper.catalog.views import MaterializedView
from storekeeper.errors import DeclarationError, SettingsError

T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """What an installation declares. Raises DeclarationError where two domains contradict each other.

    Datasets are looked up by full name: hypertable("invest.intraday_prices"), collection("invest.logs").
    """

    domains: tuple[Domain, ...]
    version: str = "1"
    backups: tuple[BackupPolicy, ...] = field(default=())

    def __post_init__(self) -> None:
        names = [domain.name for domain in self.domains]
        names += [hypertable.name for hypertable in self.hypertables]
        names += [f"{h.schema}.{r.name}" for h in self.hypertables for r in h.rollups]
        names += [f"{domain.name}.{c.name}" for domain in self.domains for c in domain.collections]
        names += [f"{table.schema}.{table.name}" for domain in self.domains for table in domain.tables]
        names += [view.name for view in self.views]
        names += [keyspace.pattern for keyspace in self.keyspaces]
        names += [f"effect {effect.name}" for effect in self.effects]
        names += [f"job {job.name}" for job in self.jobs]
        names += [f"protection of {protection.name}" for protection in self.protections]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DeclarationError(f"declared twice: {', '.join(sorted(twice))}", operation="merge", target="catalogue")
        for domain in self.domains:
            for table in (
                *domain.tables,
                *(hypertable.table for hypertable in domain.hypertables),
                *(view.table for view in domain.views),
            ):
                if table.schema != domain.name:
                    raise DeclarationError(
                        f"is in schema {table.schema}, not {domain.name}", operation="declare", target=table.name
                    )
            for personal in domain.protections:
                if (personal.owners or personal.hidden) and any(
                    hypertable.archive and hypertable.table is personal.table for hypertable in domain.hypertables
                ):
                    raise DeclarationError(
                        "rows that belong to somebody, or that not every role may see, cannot be archived",
                        operation="declare",
                        target=personal.name,
                        hint="row-level security, grants and erasure end at the store; leave archive=True out",
                    )
            if nobodys := unprotected(domain.tables, domain.protections):
                raise DeclarationError(
                    f"lead to a user by foreign keys, and nothing says whose their rows are: {', '.join(nobodys)}",
                    operation="declare",
                    target=domain.name,
                    hint="give each a Protection with its owners",
                )

    @property
    def hypertables(self) -> tuple[Hypertable, ...]:
        return tuple(h for domain in self.domains for h in domain.hypertables)

    @property
    def keyspaces(self) -> tuple[Keyspace, ...]:
        return tuple(k for domain in self.domains for k in domain.keyspaces)

    @property
    def lifecycles(self) -> tuple[TableLifecycle, ...]:
        return tuple(t for domain in self.domains for t in domain.lifecycles)

    @property
    def protections(self) -> tuple[Protection, ...]:
        return tuple(p for domain in self.domains for p in domain.protections)

    @property
    def effects(self) -> tuple[Effect, ...]:
        return tuple(e for domain in self.domains for e in domain.effects)

    @property
    def views(self) -> tuple[MaterializedView, ...]:
        return tuple(v for domain in self.domains for v in domain.views)

    @property
    def collections(self) -> Iterator[tuple[Domain, Collection]]:
        return ((domain, c) for domain in self.domains for c in domain.collections)

    @property
    def backup_policies(self) -> tuple[BackupPolicy, ...]:
        return self.backups + tuple(b for domain in self.domains for b in domain.backups)

    def domain(self, name: str) -> Domain:
        return _found(name, {domain.name: domain for domain in self.domains}, "domain")

    def hypertable(self, name: str) -> Hypertable:
        return _found(name, {h.name: h for h in self.hypertables}, "hypertable")

    def rollup(self, name: str) -> tuple[Hypertable, Rollup]:
        return _found(name, {f"{h.schema}.{r.name}": (h, r) for h in self.hypertables for r in h.rollups}, "rollup")

    def collection(self, name: str) -> tuple[Domain, Collection]:
        return _found(name, {f"{d.name}.{c.name}": (d, c) for d, c in self.collections}, "collection")

    @property
    def jobs(self) -> tuple[DomainJob, ...]:
        return tuple(j for domain in self.domains for j in domain.jobs)

    def effect(self, name: str) -> Effect:
        return _found(name, {effect.name: effect for effect in self.effects}, "effect")

    def keyspace(self, pattern: str) -> Keyspace:
        """By pattern, or by its first part where that is unambiguous: keyspace("session")."""
        short = Counter(k.pattern.split(":")[0] for k in self.keyspaces)
        known = {k.pattern: k for k in self.keyspaces}
        known |= {k.pattern.split(":")[0]: k for k in self.keyspaces if short[k.pattern.split(":")[0]] == 1}
        return _found(pattern, known, "keyspace")

    def only(self, names: tuple[str, ...] | None) -> Catalog:
        """The catalogue with these domains alone; all of them where None."""
        if names is None:
            return self
        return Catalog(tuple(self.domain(name) for name in names), self.version, self.backups)

    def digest(self) -> str:
        """A sha256 over everything that is declared; equal declarations have equal digests in every process."""
        return declaration_digest(self)


def declaration_digest(declared: object) -> str:
    """A sha256 over one declaration, as Catalog.digest is over all."""
    text = json.dumps(_plain(declared), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def load_catalog(path: str) -> Catalog:
    """Imports the catalogue that a setting names as "module:NAME". Raises SettingsError."""
    module_name, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(
            str(error), operation="load catalogue", target=path, hint="name it module:NAME, importable from here"
        ) from error
    if not isinstance(found, Catalog):
        raise SettingsError(f"is a {type(found).__name__}, not a Catalog", operation="load catalogue", target=path)
    return found


def _found(name: str, known: dict[str, T], kind: str) -> T:
    if name in known:
        return known[name]
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    raise DeclarationError(f"no such {kind}", target=name, hint=f"known: {', '.join(close or sorted(known)) or 'none'}")


def _plain(value: Any) -> Any:
    """Anything that may stand in a declaration, as JSON."""
    if isinstance(value, sa.Table):
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
        parts: list[CreateTable | CreateIndex] = [
            CreateTable(value),
            *(CreateIndex(index) for index in sorted(value.indexes, key=lambda i: str(i.name))),
        ]
        return [" ".join(str(part.compile(dialect=dialect)).split()) for part in parts]
    if isinstance(value, sa.ColumnElement):
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
        return str(value.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    if isinstance(value, type) and issubclass(value, BaseModel):
        return value.model_json_schema(mode="serialization")
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, timedelta):
        return value / timedelta(microseconds=1)
    return value
