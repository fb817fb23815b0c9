"""SQL as values: a statement to run, and an inspection, which is a statement and the decoder of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Statement:
    """One statement, with `:name` parameters. `autocommit`: the server refuses it inside a transaction block.

    Statements in a row without `autocommit` belong into one transaction.
    """

    sql: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    autocommit: bool = False

    def clause(self) -> sa.TextClause:
        """For SQLAlchemy: `connection.execute(statement.clause())`, or Alembic's `op.execute`."""
        return sa.text(self.sql).bindparams(**self.parameters)


@dataclass(frozen=True)
class Inspection(Generic[T_co]):
    """A question to the server: `decode` makes a value of all the rows that the statement returns."""

    statement: Statement
    decode: Callable[[Sequence[Any]], T_co]
