"""A hypertable and its rollups as levels: 0 are the rows, each level after it is made from the one before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from storekeeper.catalog import Aggregate, Hypertable, Measure, Rollup
from storekeeper.catalog.naming import NAMING_CONVENTION
from storekeeper.span import Span

_TIME = sa.DateTime(timezone=True)


@dataclass(frozen=True)
class Level:
    """One table of a series: its rows (depth 0), or a rollup of it. Datasets are named with their schema.

    `shown`: a rollup is read through the view by which services see it.
    """

    hypertable: Hypertable
    depth: int
    shown: bool = False

    @property
    def rollup(self) -> Rollup | None:
        return self.hypertable.rollups[self.depth - 1] if self.depth else None

    @property
    def schema(self) -> str:
        return self.hypertable.schema

    @property
    def table_name(self) -> str:
        return self.rollup.name if self.rollup else self.hypertable.table.name

    @property
    def view_name(self) -> str:
        """Of the security-barrier view that shows a rollup to services; a name ends after 63 bytes."""
        return f"shown_{self.table_name}"[:63]

    @property
    def read_name(self) -> str:
        """What its rows are read from."""
        return self.view_name if self.shown and self.depth else self.table_name

    @property
    def name(self) -> str:
        """The dataset's name: invest.stock_prices_5min."""
        return f"{self.schema}.{self.table_name}"

    @property
    def time(self) -> str:
        """The column by which it is cut into chunks."""
        return "bucket" if self.depth else self.hypertable.time

    @property
    def chunk(self) -> Span:
        return self.rollup.chunk_span if self.rollup else self.hypertable.chunk

    @property
    def keep(self) -> Span | None:
        """How long its rows are kept; None for ever."""
        return self.rollup.keep if self.rollup else self.hypertable.drop_after

    @property
    def natural_key(self) -> tuple[str, ...]:
        return (*self.rollup.by, "bucket") if self.rollup else self.hypertable.natural_key

    @property
    def finer(self) -> tuple[Level, ...]:
        """The levels below it, from the rows upward."""
        return tuple(Level(self.hypertable, depth) for depth in range(self.depth))

    @property
    def coarser(self) -> tuple[Level, ...]:
        """The levels that are made from it, directly or not, the nearest first."""
        return tuple(Level(self.hypertable, depth) for depth in range(self.depth + 1, len(self.hypertable.rollups) + 1))

    @property
    def source(self) -> Level:
        """The level that a rollup is made from."""
        assert self.depth, "rows are made from nothing"
        return Level(self.hypertable, self.depth - 1)

    @property
    def buckets(self) -> Rollup:
        """The rollup that this level is; rows are none."""
        assert self.rollup is not None, f"{self.name} is no rollup"
        return self.rollup

    @property
    def measures(self) -> tuple[Measure, ...]:
        """How the columns are made of the level below."""
        measures = self.buckets.measures
        return measures if self.depth == 1 else tuple(measure.over_rollup() for measure in measures)

    @cached_property
    def table(self) -> sa.Table:
        """Columns and their types: the hypertable's own, or those of the rollup with its unique index."""
        if not self.depth:
            return self.hypertable.table
        rollup = self.buckets
        rows = self.hypertable.table.columns
        table = sa.Table(
            rollup.name,
            sa.MetaData(schema=self.schema, naming_convention=NAMING_CONVENTION),
            sa.Column("bucket", _TIME, nullable=False),
            *(sa.Column(name, rows[name].type, nullable=rows[name].nullable) for name in rollup.by),
            *(sa.Column(measure.name, self.column_type(measure)) for measure in rollup.measures),
        )
        sa.Index(None, *(table.c[name] for name in rollup.by), table.c.bucket.desc(), unique=True)
        return table

    def counts(self, column: str) -> bool:
        """Whether a column of this rollup is a count of rows."""
        return bool(self.rollup) and any(
            measure.name == column and measure.aggregate is Aggregate.COUNT for measure in self.buckets.measures
        )

    def column_type(self, measure: Measure) -> sa.types.TypeEngine[Any]:
        """The type of a measure as declared: its column's; a sum is NUMERIC without bound, a count BIGINT."""
        match measure.aggregate:
            case Aggregate.COUNT:
                return sa.BigInteger()
            case Aggregate.SUM | Aggregate.SUM_PRODUCT:
                return sa.Numeric()
            case _:
                return self.hypertable.table.columns[measure.columns[0]].type


def levels(hypertable: Hypertable) -> tuple[Level, ...]:
    """All levels of a hypertable, the rows first."""
    return tuple(Level(hypertable, depth) for depth in range(len(hypertable.rollups) + 1))


def level_of(hypertable: Hypertable, rollup: Rollup) -> Level:
    """The level that a rollup of it is."""
    return next(level for level in levels(hypertable) if level.rollup == rollup)
