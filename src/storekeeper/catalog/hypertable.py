"""Hypertables: time series, cut into chunks by time, rolled up, compressed and dropped by age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from storekeeper.catalog.quality import Flag
from storekeeper.catalog.rollup import Aggregate, Rollup
from storekeeper.errors import DeclarationError
from storekeeper.span import Span


@dataclass(frozen=True)
class Hypertable:
    """A series: a SQLAlchemy Core table (columns, checks, indexes), and its life.

    `natural_key` is what an upsert goes by; it is a unique index of the table. Without one, rows are only appended.
    `late_rows` says what happens to rows older than what retention has dropped: refused, or kept raw, outside the
    rollups. With `archive`, rows go to the cold tier (Parquet) before their chunk is dropped, and are read from there
    as long as it is declared; see docs/cold.md. `flags` mark rows that are taken, and doubtful.
    """

    table: sa.Table
    time: str
    chunk: Span
    natural_key: tuple[str, ...] = ()
    segment_by: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()
    compress_after: Span | None = None
    drop_after: Span | None = None
    late_rows: Literal["refuse", "keep"] = "refuse"
    rollups: tuple[Rollup, ...] = ()
    archive: bool = False
    flags: tuple[Flag, ...] = ()

    def __post_init__(self) -> None:
        columns = set(self.table.columns.keys())
        ordered = {term.split()[0] for term in self.order_by}
        for name in {self.time, *self.natural_key, *self.segment_by} | ordered:
            if name not in columns:
                raise DeclarationError(f"no column {name!r}", operation="declare", target=self.name)
        if self.natural_key and self.time not in self.natural_key:
            raise DeclarationError("a natural key includes the time", operation="declare", target=self.name)
        if self.natural_key and not any(
            index.unique and {column.name for column in index.columns} == set(self.natural_key)
            for index in self.table.indexes
        ):
            raise DeclarationError("the natural key needs a unique index", operation="declare", target=self.name)
        time_type = self.table.columns[self.time].type
        if not (isinstance(time_type, sa.DateTime) and time_type.timezone):
            raise DeclarationError(f"{self.time} must carry a time zone", operation="declare", target=self.name)
        if self.drop_after and self.compress_after and _shorter(self.drop_after, self.compress_after):
            raise DeclarationError("dropped before it is compressed", operation="declare", target=self.name)
        self._check_flags(columns)
        self._check_rollups(columns)

    def _check_flags(self, columns: set[str]) -> None:
        names = [flag.name for flag in self.flags]
        if len(set(names)) < len(names):
            raise DeclarationError("two flags have one name", operation="declare", target=self.name)
        unknown = {name for flag in self.flags for name in flag.columns} - columns
        if unknown:
            raise DeclarationError(f"no column {', '.join(sorted(unknown))}", operation="declare", target=self.name)

    def _check_rollups(self, columns: set[str]) -> None:
        source, finer, kept = columns, None, self.drop_after
        for place, rollup in enumerate(self.rollups, start=1):
            measures = rollup.measures if finer is None else tuple(m.over_rollup() for m in rollup.measures)
            missing = ({*rollup.by} | {c for m in measures for c in m.columns}) - source
            reason = f"no column {', '.join(sorted(missing))}" if missing else ""
            if finer is not None:
                reason = reason or _misfit(finer, rollup)
            # a late row of what is kept longer could not pass through it to the next one
            if place < len(self.rollups) and rollup.keep is not None and (kept is None or _shorter(rollup.keep, kept)):
                reason = reason or "the next rollup is made from it: keep it at least as long as what it is made from"
            if reason:
                raise DeclarationError(reason, operation="declare", target=f"{self.schema}.{rollup.name}")
            source, finer, kept = set(rollup.columns), rollup, rollup.keep

    @property
    def schema(self) -> str:
        assert self.table.schema is not None, "a hypertable belongs to a domain's schema"
        return self.table.schema

    @property
    def name(self) -> str:
        """The dataset's name, schema included: invest.intraday_prices."""
        return f"{self.table.schema}.{self.table.name}"

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.table.columns.keys())


def _misfit(finer: Rollup, rollup: Rollup) -> str:
    """Why `rollup` cannot be made from `finer`; empty where it can."""
    if finer.every.calendar or rollup.every.calendar or rollup.every.duration % finer.every.duration:
        return f"buckets of {rollup.every} are not whole buckets of {finer.every}"
    other = [measure.name for measure in rollup.measures if measure not in finer.measures]
    if other:
        return f"{', '.join(other)} is not what {finer.name} measures by that name"
    ordered = any(measure.aggregate in (Aggregate.FIRST, Aggregate.LAST) for measure in rollup.measures)
    if ordered and set(rollup.by) != set(finer.by):
        return f"first and last need the keys of {finer.name}: within its buckets the order of keys is lost"
    return ""


def _shorter(one: Span, other: Span) -> bool:
    """Compares by length, a month counted as 30 days: exact enough to find a contradiction."""
    return (one.months * 30, one.duration.days) < (other.months * 30, other.duration.days) and (
        one.calendar == other.calendar
    )
