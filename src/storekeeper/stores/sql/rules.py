"""The rules that declared tables keep, by the names under which the server reports them broken. Pure.

| rule | what is said of it |
| --- | --- |
| unique | email is taken: another row has it (users_email_key) |
| check | current_price breaks positive_prices (current_price > 0) |
| foreign key, from its own side | goal_id names no row of deals.goals (goal_deals_goal_id_fkey) |
| foreign key, from the other | is still referred to by invest.transactions (transactions_portfolio_id_fkey) |
| not null | email is missing |
| exclusion | room, during: another row overlaps it (bookings_excl) |

No value of a row is in these texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.sql.ddl import CreateIndex
from sqlalchemy.sql.schema import ColumnCollectionConstraint

from storekeeper.catalog import Catalog

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
#: What partitions and chunks append to the name of their table.
_PARTITION: Final = re.compile(r"_(?:y?\d{4}(?:m?\d{2})?|p\d{8}(?:t\d{4})?)$")
_WORD: Final = re.compile(r"'(?:[^']|'')*'|\w+")
_LONGEST: Final = 200
_LITERAL: Final = {"literal_binds": True}
#: How the names end that the server makes.
_SUFFIXES: Final[dict[type[sa.Constraint], str]] = {
    sa.PrimaryKeyConstraint: "pkey",
    sa.ForeignKeyConstraint: "fkey",
    sa.UniqueConstraint: "key",
    sa.CheckConstraint: "check",
    ExcludeConstraint: "excl",
}


@dataclass(frozen=True, slots=True)
class Broken:
    """What was broken: of which entity, by which fields, and the rule in words."""

    entity: str
    fields: tuple[str, ...]
    rule: str


@dataclass(frozen=True, slots=True)
class _Rule:
    entity: str
    fields: tuple[str, ...]
    text: str
    #: Of a foreign key: the table that it points at, with its columns there.
    referred: str = ""
    referred_fields: tuple[str, ...] = ()
    #: Of a unique index: its columns as the server makes them into the name of a partition's own index.
    in_name: str = ""


class Rules:
    """The rules of a catalogue's tables. They are worked out when the first is broken."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def broken(
        self, *, schema: str, table: str, constraint: str, column: str, sqlstate: str, statement: str
    ) -> Broken | None:
        """What a violation is about that the server reports with these names; None where no declaration knows it.

        `statement` is the text that failed, where there is one: it tells from which side a foreign key was broken.
        """
        tables = self._tables
        entity = f"{schema}.{table}"
        if entity not in tables:
            entity = _PARTITION.sub("", entity)
        if entity not in tables:
            return None
        if sqlstate == "23502":
            return Broken(entity, (column,), f"{column} is missing")
        rule = tables[entity].get(constraint) or _of_partition(tables[entity], table, constraint)
        if rule is None:
            return None
        if not rule.referred:
            return Broken(entity, rule.fields, rule.text)
        if sqlstate == "23001" or _changes_another(statement, entity):
            return Broken(rule.referred, rule.referred_fields, f"is still referred to by {entity} ({constraint})")
        return Broken(entity, rule.fields, rule.text)

    @cached_property
    def _tables(self) -> Mapping[str, Mapping[str, _Rule]]:
        declared = [
            table
            for domain in self._catalog.domains
            for table in (*domain.tables, *(hypertable.table for hypertable in domain.hypertables))
        ]
        return {f"{table.schema}.{table.name}": dict(_rules(table)) for table in declared}


def _rules(table: sa.Table) -> Iterator[tuple[str, _Rule]]:
    """The rules of a table, each under its name on the server."""
    entity = f"{table.schema}.{table.name}"
    for constraint in table.constraints:
        name = _name(constraint)
        if isinstance(constraint, sa.ForeignKeyConstraint):
            yield name, _foreign_key(entity, name, constraint)
        elif isinstance(constraint, sa.CheckConstraint):
            text = _shown(str(constraint.sqltext.compile(dialect=_DIALECT, compile_kwargs=_LITERAL)))
            fields = _columns_in(text, table)
            verb = "break" if len(fields) > 1 else "breaks"
            yield name, _Rule(entity, fields, f"{', '.join(fields)} {verb} {name} ({text})".lstrip())
        elif isinstance(constraint, (sa.PrimaryKeyConstraint, sa.UniqueConstraint)):
            fields = tuple(constraint.columns.keys())
            yield name, _Rule(entity, fields, _taken(fields, name), in_name="_".join(fields))
        elif isinstance(constraint, ExcludeConstraint):
            fields = tuple(constraint.columns.keys())
            yield name, _Rule(entity, fields, f"{', '.join(fields)}: another row overlaps it ({name})")
    for index in table.indexes:
        if index.unique and index.name:
            yield str(index.name), _unique_index(entity, table, index)


def _unique_index(entity: str, table: sa.Table, index: sa.Index) -> _Rule:
    keys = [
        key.name if isinstance(key, sa.Column) else str(key.compile(dialect=_DIALECT, compile_kwargs=_LITERAL))
        for key in index.expressions
        if isinstance(key, sa.ClauseElement)
    ]
    fields = _columns_in(" ".join(keys), table)
    where = str(CreateIndex(index).compile(dialect=_DIALECT)).partition(" WHERE ")[2]
    among = f" where {_shown(where)}" if where else ""
    in_name = "_".join(key if key in table.columns else "expr" for key in keys)
    return _Rule(entity, fields, _taken(keys, str(index.name), among), in_name=in_name)


def _foreign_key(entity: str, name: str, constraint: sa.ForeignKeyConstraint) -> _Rule:
    fields = tuple(constraint.column_keys)
    targets = [element.target_fullname.rpartition(".") for element in constraint.elements]
    referred = targets[0][0]
    verb = "names" if len(fields) == 1 else "name"
    return _Rule(
        entity,
        fields,
        f"{', '.join(fields)} {verb} no row of {referred} ({name})",
        referred=referred,
        referred_fields=tuple(column for _, _, column in targets),
    )


def _taken(fields: Iterable[str], name: str, among: str = "") -> str:
    listed = list(fields)
    shown = ", ".join(listed)
    if len(listed) == 1:
        return f"{shown} is taken: another row{among} has it ({name})"
    return f"{shown} are taken together: another row{among} has them ({name})"


def _of_partition(rules: Mapping[str, _Rule], partition: str, constraint: str) -> _Rule | None:
    """The table's rule that a partition has under a name of its own: the server makes it of the columns' names.

    A name that it had to shorten is not found, nor is one that it had to number.
    """
    for rule in rules.values():
        if constraint == f"{partition}_pkey":
            table = rule.entity.rpartition(".")[2]
            return rules.get(f"{table}_pkey")
        if rule.in_name and constraint in (
            f"{partition}_{rule.in_name}_key",
            f"{partition}_{rule.in_name}_idx",
        ):
            return rule
    return None


def _changes_another(statement: str, entity: str) -> bool:
    """Whether the statement that failed took away what is referred to: a DELETE, or an UPDATE of another table."""
    verb, _, rest = statement.lstrip().partition(" ")
    if verb.upper() == "DELETE":
        return True
    target = rest.lstrip().removeprefix("ONLY ").split(maxsplit=1)
    return verb.upper() == "UPDATE" and bool(target) and target[0].replace('"', "") != entity


def _columns_in(text: str, table: sa.Table) -> tuple[str, ...]:
    """The table's columns that an expression names, in the order in which it does."""
    words = (word for word in _WORD.findall(text) if word in table.columns)
    return tuple(dict.fromkeys(words))


def _name(constraint: sa.Constraint) -> str:
    """A constraint's name: what it is declared with, else what the server makes of its table and columns."""
    if constraint.name is None:
        kind = next((word for type_, word in _SUFFIXES.items() if isinstance(constraint, type_)), "")
        return "_".join((constraint.table.name, *_fields_in_name(constraint), kind))
    return str(_DIALECT.identifier_preparer.format_constraint(constraint) or "").strip('"')


def _fields_in_name(constraint: sa.Constraint) -> tuple[str, ...]:
    if isinstance(constraint, sa.CheckConstraint):
        fields = _columns_in(str(constraint.sqltext), constraint.table)
        return fields if len(fields) == 1 else ()
    if isinstance(constraint, sa.PrimaryKeyConstraint) or not isinstance(constraint, ColumnCollectionConstraint):
        return ()
    return tuple(column.name for column in constraint.columns)


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
