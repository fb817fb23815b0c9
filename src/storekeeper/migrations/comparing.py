"""Where tables and views differ from their declarations although every revision was applied.

Tables by Alembic's own comparison; what that leaves out, how they are partitioned, their triggers and protection, and
materialized views, beside it.
"""

from __future__ import annotations

import warnings
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext

from storekeeper.catalog import Catalog, MaterializedView
from storekeeper.ledger import tables as ledger
from storekeeper.migrations.connection import connected
from storekeeper.migrations.engines import engine_of
from storekeeper.migrations.environment import version_table
from storekeeper.migrations.history import SqlStore
from storekeeper.migrations.protection import Protecting
from storekeeper.migrations.series import series_differences
from storekeeper.platform import Platform
from storekeeper.timescale.quoting import column_type, qualified, quoted

#: Whether a table's updated_at is kept by the platform's trigger, of whatever name, and that is not switched off.
_KEPT = sa.text("""
    SELECT true FROM pg_catalog.pg_trigger
    WHERE tgrelid = to_regclass(:table) AND tgfoid = to_regprocedure('storekeeper.set_updated_at()')
      AND tgtype & 19 = 19 AND tgenabled IN ('O', 'A')""")


def drift(platform: Platform) -> tuple[str, ...]:
    """What would have to change in either SQL store: one line each, nothing where all is as declared.

    Tables that nobody declared, in the schemas of the catalogue's domains, are among it.
    """
    found: list[str] = []
    for store in ("postgres", "timescale"):
        with connected(platform, store) as connection:
            found += [f"{store}: {line}" for line in differences(connection, store, platform.catalog)]
            if store == "postgres":
                found += [f"{store}: {line}" for line in beside_alembic(connection, platform.catalog)]
            else:
                engine = engine_of(connection, platform.settings.engine).engine
                differing_series = series_differences(connection, engine, platform.catalog.hypertables)
                found += [f"{store}: {line}" for line in differing_series]
            differing = Protecting(platform, store, connection, prune=False).differing()
            found += [f"{store}: protect {change.target}: {change.what}" for change in differing]
    return tuple(found)


def differences(connection: sa.Connection, store: SqlStore, catalog: Catalog) -> list[str]:
    """What Alembic's comparison would change in this store, one line each."""
    found = comparison(connection, store, catalog).upgrade_ops
    changes = found.as_diffs() if found is not None else []
    # changes of one column come as a list of their own
    return [_line(part) for change in changes for part in (change if isinstance(change, list) else [change])]


def comparison(
    connection: sa.Connection, store: SqlStore, catalog: Catalog, *, only: str | None = None
) -> MigrationScript:
    """What Alembic would do both ways, of a store and what is declared of it; of one domain alone with `only`."""
    declared = _declared(store, catalog)
    schemas = {only} if only is not None else {ledger.SCHEMA, *(domain.name for domain in catalog.domains)}
    for table in [table for table in declared.tables.values() if table.schema not in schemas]:
        declared.remove(table)
    # both stores may be one database: what the other one declares is no stranger here, and neither is a partition
    own = {(table.schema, table.name) for table in declared.tables.values()}
    passed_over = (_known(catalog) - own) | _partitions(connection)

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "schema":
            return name in schemas
        return kind != "table" or (parents["schema_name"], name) not in passed_over

    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "compare_server_default": True,
            "include_schemas": True,
            "include_name": include_name,
        },
    )
    with warnings.catch_warnings():
        # what SQLAlchemy says of its own reflection of a check that is NOT VALID
        warnings.filterwarnings("ignore", "Can't validate argument 'dialect_options'", sa.exc.SAWarning)
        return produce_migrations(context, declared)


def beside_alembic(connection: sa.Connection, catalog: Catalog) -> list[str]:
    """What its comparison does not see: tables partitioned otherwise or without a trigger, and materialized views."""
    lines = []
    key = sa.text("SELECT pg_get_partkeydef(to_regclass(:table)), format('RANGE (%I)', CAST(:column AS text))")
    for lifecycle in catalog.lifecycles:
        if lifecycle.partition is not None:
            names = {"table": _qualified(lifecycle.table), "column": lifecycle.partition.column}
            actual, wanted = connection.execute(key, names).one()
            if actual != wanted:
                lines.append(f"repartition {lifecycle.name} by {wanted}, not {actual or 'at all'}")
    lines += _half_made(connection, catalog)
    for view in catalog.views:
        lines += _view(connection, view)
    for domain in catalog.domains:
        for table in domain.tables:
            if "updated_at" in table.columns and not connection.scalar(_KEPT, {"table": _qualified(table)}):
                lines.append(f"add_trigger {table.schema}.{table.name}_updated_at")
    return lines


def _half_made(connection: sa.Connection, catalog: Catalog) -> list[str]:
    """Indexes that are there and of no use, and constraints that hold for new rows only: left by an interruption."""
    schemas = [quoted(domain.name) for domain in catalog.domains]
    query = sa.text("""
        SELECT 'rebuild_index', x.oid::regclass::text FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
        WHERE NOT i.indisvalid AND x.relnamespace::regnamespace::text = ANY(:schemas)
        UNION ALL
        SELECT 'validate_constraint', conrelid::regclass::text || '.' || conname FROM pg_catalog.pg_constraint
        WHERE NOT convalidated AND connamespace::regnamespace::text = ANY(:schemas) ORDER BY 1, 2
    """)
    return [f"{action} {name}" for action, name in connection.execute(query, {"schemas": schemas})]


def _view(connection: sa.Connection, view: MaterializedView) -> list[str]:
    """Where a view has not the declared columns, in this order, or lacks a declared index."""
    found = sa.text("SELECT true FROM pg_catalog.pg_class WHERE oid = to_regclass(:view) AND relkind = 'm'")
    if not connection.scalar(found, {"view": _qualified(view.table)}):
        return [f"add_view {view.name}"]
    inspector = sa.inspect(connection)
    shape = [(column["name"], column_type(column["type"])) for column in inspector.get_columns(*_name(view.table))]
    wanted = [(column.name, column_type(column.type)) for column in view.table.columns]
    lines = [] if shape == wanted else [f"modify_view {view.name} {shape} → {wanted}"]
    indexes = {
        (index["name"], tuple(index["column_names"]), index["unique"])
        for index in inspector.get_indexes(*_name(view.table))
    }
    lines += [
        f"add_index {view.name}.{index.name}"
        for index in sorted(view.table.indexes, key=lambda index: str(index.name))
        if (index.name, tuple(column.name for column in index.columns), bool(index.unique)) not in indexes
    ]
    return lines


def _name(table: sa.Table) -> tuple[str, str | None]:
    return table.name, table.schema


def _qualified(table: sa.Table) -> str:
    assert table.schema is not None, "a table belongs to a domain's schema"
    return qualified(table.schema, table.name)


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
