"""Quality rules of a series: rows that are taken, and marked as doubtful.

A condition is a SQLAlchemy expression over the table's columns: comparisons, AND, OR, NOT, IS NULL, BETWEEN, the four
kinds of arithmetic and constants. It means the same to PostgreSQL and to vectors: a float constant is the decimal of
its shortest text, a division is one of doubles, and NULL by zero; what compares with NULL marks nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import elements, operators

from storekeeper.errors import DeclarationError


@dataclass(frozen=True)
class Flag:
    """A mark for rows for which a condition holds: Flag("bid_over_ask", table.c.bid > table.c.ask)."""

    name: str
    condition: sa.ColumnElement[bool] = field(compare=False)  # SQLAlchemy's == makes a condition, it compares nothing

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise DeclarationError(f"{self.name!r} is no name for a flag", operation="declare", target=self.name)
        term = self.term
        if not isinstance(term, Operation) or term.operator not in TESTS:
            raise DeclarationError("is neither true nor false", operation="declare", target=self.name)

    @property
    def term(self) -> Term:
        """The condition as a tree of plain values. Raises DeclarationError where it has more than is known here."""
        return _term(self.condition, self.name)

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(_columns(self.term))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that stands for itself; floats are decimals by now."""

    value: Decimal | int | str | bool | datetime


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator, and what it is applied to: `AND` and `OR` to any number of terms, the others to one or two."""

    operator: str
    terms: tuple[Term, ...]


Term = Column | Constant | Operation

#: What is true or false.
TESTS = frozenset({"=", "<>", "<", "<=", ">", ">=", "AND", "OR", "NOT", "IS NULL", "IS NOT NULL"})

_BINARY: dict[Any, str] = {
    operators.eq: "=",
    operators.ne: "<>",
    operators.lt: "<",
    operators.le: "<=",
    operators.gt: ">",
    operators.ge: ">=",
    operators.add: "+",
    operators.sub: "-",
    operators.mul: "*",
    operators.truediv: "/",
}


def _term(given: object, flag: str) -> Term:
    if isinstance(given, elements.Grouping):
        return _term(given.element, flag)
    if isinstance(given, sa.Column):
        return Column(given.name)
    if isinstance(given, elements.BindParameter):
        return Constant(_constant(given.value, flag))
    if isinstance(given, elements.BooleanClauseList):
        name = "AND" if given.operator is operators.and_ else "OR"
        return Operation(name, tuple(_term(clause, flag) for clause in given.clauses))
    if isinstance(given, elements.UnaryExpression) and given.operator is operators.inv:
        return Operation("NOT", (_term(given.element, flag),))
    if isinstance(given, elements.BinaryExpression):
        return _binary(given, flag)
    raise _unknown(given, flag)


def _binary(given: elements.BinaryExpression[Any], flag: str) -> Term:
    left, right = given.left, given.right
    if given.operator in (operators.is_, operators.is_not) and isinstance(right, elements.Null):
        name = "IS NULL" if given.operator is operators.is_ else "IS NOT NULL"
        return Operation(name, (_term(left, flag),))
    if given.operator in (operators.between_op, operators.not_between_op):
        assert isinstance(right, elements.ExpressionClauseList)
        low, high = (_term(clause, flag) for clause in right.clauses)
        value = _term(left, flag)
        within = Operation("AND", (Operation(">=", (value, low)), Operation("<=", (value, high))))
        return within if given.operator is operators.between_op else Operation("NOT", (within,))
    if given.operator in _BINARY:
        return Operation(_BINARY[given.operator], (_term(left, flag), _term(right, flag)))
    raise _unknown(given, flag)


def _constant(value: object, flag: str) -> Decimal | int | str | bool | datetime:
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and not value.is_finite():
        raise DeclarationError(f"{value} is no constant", operation="declare", target=flag)
    if isinstance(value, datetime) and value.tzinfo is None:
        raise DeclarationError(f"{value} has no time zone", operation="declare", target=flag)
    if isinstance(value, (Decimal, int, str, datetime)):
        return value
    raise _unknown(value, flag)


def _columns(term: Term) -> set[str]:
    if isinstance(term, Operation):
        return {name for part in term.terms for name in _columns(part)}
    return {term.name} if isinstance(term, Column) else set()


def _unknown(given: object, flag: str) -> DeclarationError:
    return DeclarationError(
        f"a flag cannot be told by {given}",
        operation="declare",
        target=flag,
        hint="comparisons, and_, or_, not_, is_(None), between, + - * / and constants are known",
    )
