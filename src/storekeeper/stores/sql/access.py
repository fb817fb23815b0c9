"""The access log: who read or changed which personal columns, by what SQLAlchemy compiled. Never a value.

One record of level INFO on the logger "storekeeper.access" for each entity that a statement has reached, once it has
run; nothing is worked out while that logger is off. Its message is a line of JSON, and `record.access` the same as a
mapping:

| field | holds |
| --- | --- |
| operation | read, insert, update or delete |
| entity, columns | a table with its schema, and those of its personal columns that the statement names |
| who, request_id | the transaction's `app.current_user_id` and `app.request_id`; null where it has none |
| role | the role of the server that it ran as |

A column counts wherever it stands: among what is selected, set or returned, in a condition, in a subquery. A deferred
column of the ORM is not read before it is loaded. SQL that is written as text, COPY, and what the server does by itself
(triggers, functions, cascades) cannot be seen here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.sql import dml, visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import SelectBase

from storekeeper.catalog import Catalog
from storekeeper.stores.sql.listeners import TERMS

_LOGGER: Final = logging.getLogger("storekeeper.access")

#: The personal columns of each table, by its name with its schema.
Personal = Mapping[str, frozenset[str]]
Operation = Literal["read", "insert", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Access:
    """The personal columns of one entity that a statement reaches."""

    operation: Operation
    entity: str
    columns: tuple[str, ...]


def personal_columns(catalog: Catalog) -> Personal:
    """What the protections of a catalogue call personal."""
    return {known.name: frozenset(known.personal) for known in catalog.protections if known.personal}


def listen_access(engine: sa.Engine, personal: Personal) -> None:
    """Attaches the log to an engine."""
    if not personal:
        return
    # a statement is compiled once and run often
    known: WeakKeyDictionary[SQLCompiler, tuple[Access, ...]] = WeakKeyDictionary()

    @event.listens_for(engine, "after_cursor_execute")
    def after(
        connection: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        compiled = context.compiled if context is not None else None
        if not isinstance(compiled, SQLCompiler) or not _LOGGER.isEnabledFor(logging.INFO):
            return
        found = known.get(compiled)
        if found is None:
            found = known[compiled] = accesses(compiled, personal)
        for access in found:
            _log(connection, access)


def accesses(compiled: SQLCompiler, personal: Personal) -> tuple[Access, ...]:
    """What a compiled statement reaches of the personal columns, by entity."""
    # of a statement of the ORM the one that it became, with its columns, joins and criteria spelled out
    statement = getattr(compiled.compile_state, "statement", None)
    if statement is None:
        statement = compiled.statement
    if statement is None:
        return ()
    reached: dict[tuple[Operation, str], set[str]] = {}
    changed: dict[str, Operation] = {}
    for element in visitors.iterate(statement):
        if isinstance(element, (dml.Insert, dml.Update, dml.Delete)):
            operation, columns = _changes(element, compiled)
            table = _full_name(element.table)
            changed[table] = operation
            reached.setdefault((operation, table), set()).update(columns)
    for table, column in _columns(statement):
        reached.setdefault((changed.get(table, "read"), table), set()).add(column)
    return tuple(
        Access(operation, table, tuple(sorted(columns & personal[table])))
        for (operation, table), columns in sorted(reached.items())
        if columns & personal.get(table, frozenset())
    )


def _columns(statement: Any) -> Iterator[tuple[str, str]]:
    """Every column of a table that stands anywhere in a statement."""
    for element in visitors.iterate(statement):
        if isinstance(element, SelectBase):
            for selected in element.selected_columns:
                yield from _base(selected)
        elif isinstance(element, sa.ColumnElement):
            yield from _base(element)
        elif isinstance(element, dml.UpdateBase):
            for returned in element._returning:
                for column in getattr(returned, "columns", (returned,)):
                    yield from _base(column)


def _base(element: Any) -> Iterator[tuple[str, str]]:
    """The columns of tables that a column of an alias, a subquery or a CTE stands for."""
    for column in getattr(element, "base_columns", ()):
        if isinstance(column, sa.Column) and isinstance(column.table, sa.Table):
            yield _full_name(column.table), column.name


def _changes(statement: dml.Insert | dml.Update | dml.Delete, compiled: SQLCompiler) -> tuple[Operation, set[str]]:
    """The columns that a statement writes; a DELETE, or one that does not name them, writes all."""
    columns = [column.name for column in statement.table.c]
    if isinstance(statement, dml.Delete):
        return "delete", set(columns)
    operation: Operation = "insert" if isinstance(statement, dml.Insert) else "update"
    named: list[Any] = [*(statement._values or ()), *(compiled.column_keys or ())]
    if isinstance(statement, dml.Insert):
        named += statement._select_names or ()
    for rows in statement._multi_values:
        for row in rows:
            named += row if isinstance(row, Mapping) else columns
    written = {getattr(name, "name", name) for name in named} & set(columns)
    return operation, written or set(columns)


def _full_name(table: Any) -> str:
    return f"{table.schema}.{table.name}" if getattr(table, "schema", None) else str(getattr(table, "name", ""))


def _log(connection: sa.Connection, access: Access) -> None:
    terms = connection.info.get(TERMS)
    local: Mapping[str, str] = {} if terms is None else terms.local
    dbapi_connection: Any = connection.connection.dbapi_connection
    told = {
        "operation": access.operation,
        "entity": access.entity,
        "columns": list(access.columns),
        "who": local.get("app.current_user_id"),
        "request_id": local.get("app.request_id"),
        "role": local.get("role") or dbapi_connection.info.user,
    }
    _LOGGER.info("%s", json.dumps(told), extra={"access": told})
