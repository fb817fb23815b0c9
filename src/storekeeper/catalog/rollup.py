"""Rollups: what is kept of a series by bucket and key (a continuous aggregate, or a table that plays its part)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from storekeeper.errors import DeclarationError
from storekeeper.span import Span, days, years


class Aggregate(StrEnum):
    """How a measure is made of the rows of a bucket."""

    FIRST = "first"  # of the earliest row
    LAST = "last"  # of the latest row
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    SUM_PRODUCT = "sum_product"  # of two columns: sum(price * volume)
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Measure:
    """One column of a rollup: `aggregate` over `columns` (none for a count, two for a sum of products)."""

    name: str
    aggregate: Aggregate
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = {Aggregate.COUNT: 0, Aggregate.SUM_PRODUCT: 2}.get(self.aggregate, 1)
        if len(self.columns) != wanted:
            raise DeclarationError(
                f"{self.aggregate} takes {wanted} columns, not {len(self.columns)}", target=self.name
            )

    def over_rollup(self) -> Measure:
        """The measure that makes of finer buckets what this one makes of rows: a count becomes a sum of counts."""
        if self.aggregate in (Aggregate.SUM, Aggregate.SUM_PRODUCT, Aggregate.COUNT):
            return Measure(self.name, Aggregate.SUM, (self.name,))
        return Measure(self.name, self.aggregate, (self.name,))


def ohlcv(price: str, volume: str) -> tuple[Measure, ...]:
    """Open, high, low, close, volume; and, for a volume-weighted average, notional = sum(price * volume) and count."""
    return (
        Measure("open", Aggregate.FIRST, (price,)),
        Measure("high", Aggregate.MAX, (price,)),
        Measure("low", Aggregate.MIN, (price,)),
        Measure("close", Aggregate.LAST, (price,)),
        Measure("volume", Aggregate.SUM, (volume,)),
        Measure("notional", Aggregate.SUM_PRODUCT, (price, volume)),
        Measure("count", Aggregate.COUNT),
    )


@dataclass(frozen=True, slots=True)
class Rollup:
    """A series by buckets of `every`, one row a bucket and key, in the schema of its hypertable.

    The buckets' column is `bucket` (their first instant). `keep` is how long its rows are kept, None for ever.
    A hypertable's rollups stand from the finest to the coarsest; each is made from the one before it.
    """

    name: str
    every: Span
    by: tuple[str, ...]
    measures: tuple[Measure, ...]
    keep: Span | None = None
    chunk: Span | None = None

    @property
    def chunk_span(self) -> Span:
        """The declared chunk, or about ten thousand buckets: 30 days of fine ones, a year of coarse ones."""
        if self.chunk is not None:
            return self.chunk
        fine = not self.every.calendar and self.every.duration < days(1).duration / 24
        return days(30) if fine else years(1)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("bucket", *self.by, *(measure.name for measure in self.measures))
