"""What a catalogue asks of one store: tables under row-level security, their policies, and who may do what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from storekeeper.catalog import Catalog, Protection
from storekeeper.ledger import tables as ledger
from storekeeper.ledger.rights import READ, WRITE, rights_on
from storekeeper.migrations.environment import version_table
from storekeeper.migrations.history import PLATFORM, SqlStore
from storekeeper.migrations.protection.found import Found, Grant, Kind, is_shown
from storekeeper.migrations.protection.policies import Policy, name_of, policies
from storekeeper.migrations.protection.roles import Roles
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.quoting import qualified, quoted


@dataclass(frozen=True, slots=True)
class View:
    """A security-barrier view of a rollup, through which services read it."""

    name: str
    source: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """`scope` are the relations that this store is to have; what else is in its schemas is another's."""

    scope: frozenset[str]
    secured: frozenset[str]
    policies: tuple[Policy, ...]
    views: tuple[View, ...]
    grants: frozenset[Grant]
    schema_of: Mapping[str, str]


def schemas_of(catalog: Catalog) -> tuple[str, ...]:
    """The schemas that are protected, the platform's own first."""
    return (PLATFORM, *(domain.name for domain in catalog.domains))


def wanted_of(catalog: Catalog, store: SqlStore, roles: Roles, found: Found, coming: Iterable[str] = ()) -> Wanted:
    """What a store is to have of the tables that are there, and of those that pending revisions of the schemas in
    `coming` make.

    Functions, sequences and views that revisions made are taken as they are found: services may call every function
    that runs as its owner unless its name begins with _, and read every view that is a security barrier.
    """
    expected = frozenset(coming)
    scope: dict[str, str] = {}
    secured: set[str] = set()
    rules: list[Policy] = []
    shown: list[View] = []
    grants: set[Grant] = set()

    def belongs(name: str, schema: str) -> bool:
        # a rollup may be a view of the server's own making
        if name not in found.tables and name not in found.views and schema not in expected:
            return False
        scope[name] = schema
        return True

    protections = {protection.name: protection for protection in catalog.protections}
    for domain in catalog.domains:
        for table in domain.tables if store == "postgres" else ():
            if not belongs(name_of(table), domain.name):
                continue
            protection = protections.get(f"{table.schema}.{table.name}", Protection(table))
            if protection.owners:
                secured.add(name_of(table))
                rules += policies(protection, roles)
            grants |= set(_of_table(protection, roles))
        for view in domain.views if store == "postgres" else ():
            if belongs(name_of(view.table), domain.name):
                grants |= set(_granted("table", name_of(view.table), roles.analyst, READ))
                grants |= set(_granted("table", name_of(view.table), roles.jobs, READ))
        for level in [one for h in domain.hypertables for one in levels(h)] if store == "timescale" else ():
            name = qualified(level.schema, level.table_name)
            if not belongs(name, domain.name):
                continue
            if level.depth and roles.separate:
                shown.append(View(qualified(level.schema, level.view_name), name, level.buckets.columns))
            grants |= set(_of_level(level, name, roles, kept_by_server=name in found.views))
    for name in _ledger(store):
        if belongs(qualified(PLATFORM, name), PLATFORM):
            grants |= set(_of_ledger(name, roles))
    if roles.separate:
        grants |= set(_of_the_rest(catalog, roles, found, expected, {view.name for view in shown}))
    return Wanted(frozenset(scope), frozenset(secured), tuple(rules), tuple(shown), frozenset(grants), scope)


def _of_table(protection: Protection, roles: Roles) -> Iterator[Grant]:
    name, columns = name_of(protection.table), list(protection.table.columns.keys())
    for right in protection.app:
        # a column cannot be taken out of a right to the whole table: the others are named
        written = right in ("INSERT", "UPDATE") and protection.guarded
        free = [column for column in columns if column not in protection.guarded] if written else [""]
        yield from _granted("table", name, roles.app, (right,), free)
    seen = [column for column in columns if column not in protection.hidden] if protection.hidden else [""]
    yield from _granted("table", name, roles.analyst, READ, seen)
    yield from _granted("table", name, roles.jobs, WRITE)


def _of_level(level: Level, name: str, roles: Roles, *, kept_by_server: bool) -> Iterator[Grant]:
    """A continuous aggregate is refreshed by its owner alone, and a change by hand is noted nowhere."""
    if level.depth:
        yield from _granted("table", qualified(level.schema, level.view_name), roles.app, READ)
    else:
        yield from _granted("table", name, roles.app, WRITE)
    yield from _granted("table", name, roles.analyst, READ)
    yield from _granted("table", name, roles.jobs, READ if kept_by_server else WRITE)


def _of_ledger(table: str, roles: Roles) -> Iterator[Grant]:
    name, rights = qualified(PLATFORM, table), rights_on(table)
    for role, held in ((roles.app, rights.app), (roles.analyst, rights.analyst), (roles.jobs, rights.jobs)):
        for right in held:
            columns = rights.given if right == "INSERT" and rights.given else ("",)
            yield from _granted("table", name, role, (right,), columns)


def _of_the_rest(
    catalog: Catalog, roles: Roles, found: Found, expected: frozenset[str], shown: set[str]
) -> Iterator[Grant]:
    for schema in schemas_of(catalog):
        if schema in found.schemas or schema in expected:
            for role in (roles.app, roles.analyst, roles.jobs):
                yield from _granted("schema", quoted(schema), role, ("USAGE",))
    for function in found.functions:
        name = function.partition("(")[0].rpartition(".")[2].strip('"')
        if not name.startswith("_"):
            yield from _granted("function", function, roles.app, ("EXECUTE",))
            yield from _granted("function", function, roles.jobs, ("EXECUTE",))
    for view in found.barriers - shown:
        if not is_shown(view):
            yield from _granted("table", view, roles.app, READ)
    for sequence in found.sequences:
        yield from _granted("sequence", sequence, roles.app, ("USAGE",))
        yield from _granted("sequence", sequence, roles.jobs, ("USAGE",))


def _granted(
    kind: Kind, name: str, role: str | None, rights: Iterable[str], columns: Iterable[str] = ("",)
) -> Iterator[Grant]:
    if role is not None:
        named = list(columns)
        yield from (Grant(kind, name, column, right, role) for right in rights for column in named)


def _ledger(store: SqlStore) -> tuple[str, ...]:
    metadata: sa.MetaData = ledger.POSTGRES if store == "postgres" else ledger.TIMESCALE
    return (*(table.name for table in metadata.sorted_tables), version_table(store))
