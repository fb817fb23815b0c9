"""Materialized views: what a query over relational tables found, kept until it is asked again."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from storekeeper.errors import DeclarationError
from storekeeper.span import Span


@dataclass(frozen=True)
class MaterializedView:
    """A materialized view of the postgres store: its columns and indexes, as a SQLAlchemy Core table; a revision makes
    it, with its query.

    All views are refreshed as often as the one of the shortest `every`. Readers go on meanwhile, for which it needs a
    unique index of whole columns and all rows.
    """

    table: sa.Table
    every: Span

    def __post_init__(self) -> None:
        if self.every.calendar:
            raise DeclarationError("is refreshed at fixed lengths: give hours", operation="declare", target=self.name)
        if not any(index.unique and _of_all_rows(index) for index in self.table.indexes):
            raise DeclarationError(
                "needs a unique index of whole columns, to be refreshed under its readers",
                operation="declare",
                target=self.name,
            )

    @property
    def name(self) -> str:
        """The view's name, schema included: invest.portfolio_summary."""
        return f"{self.table.schema}.{self.table.name}"


def _of_all_rows(index: sa.Index) -> bool:
    # a descending column is an expression around it
    whole = all(isinstance(getattr(part, "element", part), sa.Column) for part in index.expressions)
    return whole and index.dialect_options["postgresql"]["where"] is None
