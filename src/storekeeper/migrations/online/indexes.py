"""Indexes of tables that are written to meanwhile; of partitioned tables and hypertables too, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storekeeper.errors import ConstraintError, MigrationError
from storekeeper.migrations.online.hypertables import is_hypertable
from storekeeper.migrations.online.names import in_sql, joined, parted
from storekeeper.migrations.online.steps import asked, brief, lasting, rendering, tried
from storekeeper.timescale.quoting import qualified, quoted

_INDEX = """
SELECT i.indisvalid, t.relnamespace::regnamespace::text || '.' || t.relname, x.relkind = 'I'
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
WHERE x.relnamespace = to_regnamespace(:schema) AND x.relname = :name
"""
_IS_PARTITIONED = "SELECT relkind = 'p' FROM pg_catalog.pg_class WHERE oid = to_regclass(:table)"
#: A partition that is being detached counts for nothing any more.
_PARTITIONS = """
SELECT c.relnamespace::regnamespace::text || '.' || c.relname
FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid
WHERE h.inhparent = to_regclass(:table) AND NOT h.inhdetachpending ORDER BY 1
"""
_HAS_ITS_PART = """
SELECT true FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_index i ON i.indexrelid = h.inhrelid
WHERE h.inhparent = to_regclass(:index) AND i.indrelid = to_regclass(:partition)
"""
#: Partitions that come while an index is built bring their part of it: one pass is the rule.
_PASSES = 3


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an index is, wherever it is made."""

    columns: str
    unique: bool
    using: str
    tail: str

    include: str = ""

    def on(self, table: str, name: str, *, how: str, only: bool = False, options: str = "") -> str:
        unique = "UNIQUE " if self.unique else ""
        target = f"ONLY {in_sql(table)}" if only else in_sql(table)
        body = f"USING {self.using} ({self.columns}){self.include}{options}{self.tail}"
        return f"CREATE {unique}INDEX {how}{quoted(name)} ON {target} {body}"


def create_index_concurrently(
    name: str,
    table: str,
    columns: Sequence[str],
    *,
    unique: bool = False,
    where: str | None = None,
    using: str = "btree",
    include: Sequence[str] = (),
) -> None:
    """Makes an index while others write. `columns` are SQL: a column, "created_at DESC", or an expression in brackets.

    One that an interrupted run has left invalid is made anew; one that is there stays. Raises MigrationError where the
    name is another table's, UniqueError where rows stand against it (nothing is left of it then).
    """
    tail = f" WHERE {where}" if where else ""
    included = f" INCLUDE ({', '.join(map(quoted, include))})" if include else ""
    _make(name, table, _Wanted(", ".join(columns), unique, using, tail, included))


def drop_index_concurrently(name: str, table: str) -> None:
    """Drops an index while others write; one that is gone already is no failure.

    That of a partitioned table, or of a hypertable, goes with its parts in one short step, for the server knows no
    other way.
    """
    schema, _ = parted(table)
    if is_hypertable(table):
        brief(f"drop index {name}", f"DROP INDEX IF EXISTS {qualified(schema, name)}")
        return
    if _is_partitioned(table):
        brief(f"drop index {name}", f"DROP INDEX IF EXISTS {qualified(schema, name)}")
        for partition in _partitions(table):
            drop_index_concurrently(_part(name, partition), partition)  # parts that were not attached
        return
    tried(f"drop index {name}", lambda: _drop(name, schema))


def _make(name: str, table: str, wanted: _Wanted) -> None:
    if is_hypertable(table):
        tried(f"index {name} on {table}", lambda: _by_chunk(name, table, wanted))
        return
    if not _is_partitioned(table):
        tried(f"index {name} on {table}", lambda: _concurrently(name, table, wanted))
        return
    schema, _ = parted(table)
    index = qualified(schema, name)
    for _ in range(_PASSES):
        if _found(name, table) is None:
            # without its parts it is invalid, and takes no time; partitions that come later bring theirs
            how = "IF NOT EXISTS "
            brief(f"index {name} on {table}, without its parts", wanted.on(table, name, how=how, only=True))
        for partition in _partitions(table):
            if not asked(_HAS_ITS_PART, index=index, partition=in_sql(partition)):
                part = _part(name, partition)
                _make(part, partition, wanted)
                attached = qualified(parted(partition)[0], part)
                brief(f"index {part} into {name}", f"ALTER INDEX {index} ATTACH PARTITION {attached}")
        if _found(name, table):
            return
    raise MigrationError(
        "partitions come and go faster than their indexes are made",
        operation="migrate",
        target=f"{schema}.{name}",
        hint="migrate again when no other job changes the partitions",
    )


def _concurrently(name: str, table: str, wanted: _Wanted) -> None:
    schema, _ = parted(table)
    valid = _found(name, table)
    if valid:
        return
    if valid is not None:
        _drop(name, schema)
    try:
        lasting(f"index {name}", wanted.on(table, name, how="CONCURRENTLY IF NOT EXISTS "))
    except ConstraintError:
        _drop(name, schema)  # even an invalid unique index refuses rows
        raise


def _by_chunk(name: str, table: str, wanted: _Wanted) -> None:
    """On a hypertable: chunk by chunk, each of which takes no rows meanwhile. A unique one all at once."""
    schema, _ = parted(table)
    valid = _found(name, table)
    if valid:
        return
    if valid is not None:
        brief(f"drop index {name}", f"DROP INDEX IF EXISTS {qualified(schema, name)}")
    options = "" if wanted.unique else " WITH (timescaledb.transaction_per_chunk)"
    lasting(f"index {name}", wanted.on(table, name, how="IF NOT EXISTS ", options=options))


def _drop(name: str, schema: str) -> None:
    lasting(f"drop index {name}", f"DROP INDEX CONCURRENTLY IF EXISTS {qualified(schema, name)}")


def _found(name: str, table: str) -> bool | None:
    """Whether the index is valid; None where there is none."""
    schema, _ = parted(table)
    rows = asked(_INDEX, schema=quoted(schema), name=name)
    if not rows:
        return None
    valid, owner, _ = rows[0]
    if owner != f"{quoted(schema)}.{parted(table)[1]}":
        raise MigrationError(f"is an index of {owner}", operation="migrate", target=f"{schema}.{name}")
    return bool(valid)


def _is_partitioned(table: str) -> bool:
    rows = asked(_IS_PARTITIONED, table=in_sql(table))
    if not rows and not rendering():
        raise MigrationError("there is no such table", operation="migrate", target=table)
    return any(row[0] for row in rows)


def _partitions(table: str) -> list[str]:
    return [row[0] for row in asked(_PARTITIONS, table=in_sql(table))]


def _part(name: str, partition: str) -> str:
    return joined(parted(partition)[1], name)
