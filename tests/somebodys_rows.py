"""A row of a given user in every table that holds users' rows, made from what the tables are declared as.

Checks, triggers and foreign keys are not what is tested with them: checks are dropped, the others switched off while
the rows go in. The rows of one user refer to one another as the owner paths want it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.types.json import Jsonb

from storekeeper import Catalog

Row = dict[str, Any]

_NUMBERS = count(1_000_000)


def drop_checks(connection: psycopg.Connection[Any], schemas: list[str]) -> None:
    """Has the tables of these schemas take any value."""
    found = connection.execute(
        "SELECT conrelid::regclass::text, conname FROM pg_catalog.pg_constraint "
        "WHERE contype = 'c' AND coninhcount = 0 AND connamespace::regnamespace::text = ANY(%s)",
        (schemas,),
    ).fetchall()
    for table, name in found:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {json.dumps(name)}".encode())


def rows_of(catalog: Catalog, user: UUID) -> dict[str, Row]:
    """By table, one row that belongs to the user by every path that the table's protection names."""
    made: dict[str, Row] = {}
    for protection in catalog.protections:
        if protection.owners:
            _row(catalog, protection.table, user, made)
    return made


def insert(connection: psycopg.Connection[Any], table: str, row: Row) -> None:
    """Writes one row; `table` is named with its schema."""
    statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
        sql.Identifier(*table.split(".")),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )
    connection.execute(statement, list(row.values()))


def with_new_key(table: sa.Table, row: Row) -> Row:
    """The same row under another key, and with other values where they must be unique."""
    fresh = {name: _value(table.columns[name]) for name in row if table.columns[name].primary_key}
    fresh |= {
        name: _value(table.columns[name])
        for name in row
        if isinstance(table.columns[name].type, sa.String) and not table.columns[name].foreign_keys
    }
    return {**row, **fresh}


def _row(catalog: Catalog, table: sa.Table, user: UUID, made: dict[str, Row]) -> Row:
    name = f"{table.schema}.{table.name}"
    if name in made:
        return made[name]
    row = made[name] = {}
    protection = next((one for one in catalog.protections if one.name == name), None)
    owners = protection.owners if protection is not None else ()
    paths = {path.split(".")[0] for path in owners}
    for column in table.columns:
        if column.name in owners:
            row[column.name] = user
        elif column.foreign_keys and (column.name in paths or not column.nullable):
            key = next(iter(column.foreign_keys)).column
            row[column.name] = _row(catalog, key.table, user, made)[key.name]
        elif column.primary_key or not (column.nullable or column.server_default or column.identity or column.computed):
            row[column.name] = _value(column)
    return row


def _value(column: sa.Column[Any]) -> Any:
    """Some value of the column's type, another each time where it matters."""
    kind = column.type
    match kind:
        case sa.Uuid():
            return uuid4()
        case sa.Boolean():
            return False
        case sa.Integer():
            return next(_NUMBERS) % 30_000 if isinstance(kind, sa.SmallInteger) else next(_NUMBERS)
        case sa.Numeric():
            return Decimal("0.1")
        case sa.DateTime():
            return datetime.now(UTC)
        case sa.Date():
            return datetime.now(UTC).date()
        case sa.String():
            return uuid4().hex[: kind.length or 32]
        case sa.ARRAY():
            return []
        case _:
            return Jsonb({})
