"""Where tables differ from their declarations although every revision was applied: Alembic's own comparison."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from storekeeper.catalog import Catalog
from storekeeper.ledger import tables as ledger
from storekeeper.migrations.connection import connected
from storekeeper.migrations.environment import version_table
from storekeeper.migrations.history import SqlStore
from storekeeper.platform import Platform


def drift(platform: Platform) -> tuple[str, ...]:
    """What Alembic's comparison would change in either SQL store: one line each, nothing where all is as declared.

    Tables that nobody declared, in the schemas of the catalogue's domains, are among it.
    """
    found: list[str] = []
    for store in ("postgres", "timescale"):
        with connected(platform, store) as connection:
            found += [f"{store}: {line}" for line in differences(connection, store, platform.catalog)]
    return tuple(found)


def differences(connection: sa.Connection, store: SqlStore, catalog: Catalog) -> list[str]:
    """What Alembic's comparison would change in this store, one line each."""
    schemas = {ledger.SCHEMA, *(domain.name for domain in catalog.domains)}
    known = _known(catalog) | _partitions(connection)

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        return kind != "schema" or name in schemas

    def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
        # both stores may be one database: what the other one declares is no stranger here
        return not (kind == "table" and reflected and compare_to is None and (item.schema, name) in known)

    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "compare_server_default": True,
            "include_schemas": True,
            "include_name": include_name,
            "include_object": include_object,
        },
    )
    changes = compare_metadata(context, _declared(store, catalog))
    # changes of one column come as a list of their own
    return [_line(part) for change in changes for part in (change if isinstance(change, list) else [change])]


def _line(change: tuple[Any, ...]) -> str:
    """One change in a line: remove_index invest.users.idx_x; modify_type invest.users.email TEXT → VARCHAR."""
    action, *about = change
    subject = about[0]
    if isinstance(subject, sa.Table):
        return f"{action} {subject.fullname}"
    if isinstance(subject, (sa.Index, sa.Constraint)):
        table = subject.table
        return f"{action} {table.fullname if table is not None else ''}.{subject.name}"
    if len(about) > 2 and isinstance(about[2], sa.Column):
        return f"{action} {subject}.{about[1]}.{about[2].name}"
    return f"{action} {subject}.{about[1]}.{about[2]} {about[-2]} → {about[-1]}"


def _declared(store: SqlStore, catalog: Catalog) -> sa.MetaData:
    """The store's tables as one MetaData, those of the ledger among them."""
    own = ledger.POSTGRES if store == "postgres" else ledger.TIMESCALE
    metadata = sa.MetaData()
    for domain in catalog.domains:
        for table in domain.tables if store == "postgres" else [h.table for h in domain.hypertables]:
            table.to_metadata(metadata)
    for table in own.tables.values():
        table.to_metadata(metadata)
    return metadata


def _known(catalog: Catalog) -> set[tuple[str | None, str | None]]:
    """Every table that is declared in either store, or that goes with one."""
    tables = [table for domain in catalog.domains for table in domain.tables]
    tables += [hypertable.table for hypertable in catalog.hypertables]
    tables += [*ledger.POSTGRES.tables.values(), *ledger.TIMESCALE.tables.values()]
    names: set[tuple[str | None, str | None]] = {(table.schema, table.name) for table in tables}
    names |= {(h.schema, rollup.name) for h in catalog.hypertables for rollup in h.rollups}
    return names | {(ledger.SCHEMA, version_table("postgres")), (ledger.SCHEMA, version_table("timescale"))}


def _partitions(connection: sa.Connection) -> set[tuple[str | None, str | None]]:
    rows = connection.execute(
        sa.text("SELECT relnamespace::regnamespace::text, relname FROM pg_catalog.pg_class WHERE relispartition")
    )
    return {(row[0], row[1]) for row in rows}
