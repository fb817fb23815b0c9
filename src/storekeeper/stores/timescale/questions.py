"""What analysts ask of series, as values that are checked before any store is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import sqlalchemy as sa

from storekeeper.catalog import Hypertable
from storekeeper.errors import ColumnError, InputError
from storekeeper.span import Span, checked_span
from storekeeper.stores.sql.arrow import Table, pa
from storekeeper.stores.timescale.answers import arrow_type
from storekeeper.timescale.calendars import Calendar
from storekeeper.timescale.conditions import check_range, keyed
from storekeeper.timescale.levels import Level
from storekeeper.timescale.routing import fitting
from storekeeper.timescale.rows import read_columns
from storekeeper.timescale.shapes import BarColumn, Shape, bar_columns, key_of, selected_columns


@dataclass(frozen=True)
class Question:
    """Bars of a series: on which calendar, of what, from when to when. `keys` None: all."""

    hypertable: Hypertable
    calendar: Calendar
    shape: Shape
    keys: Sequence[object] | None = None
    start: datetime | None = None
    end: datetime | None = None

    @property
    def columns(self) -> tuple[BarColumn, ...]:
        return bar_columns(self.hypertable, self.shape)

    def selected(self, *, exact: bool) -> tuple[BarColumn, ...]:
        """What statements select for these columns."""
        return selected_columns(self.hypertable, self.shape, exact=exact)

    @property
    def levels(self) -> tuple[Level, ...]:
        """What may be read, the rows first. Raises InputError where a key is none."""
        rows = Level(self.hypertable, 0)
        keyed(rows.table, self.shape.by, self.keys, operation="read bars", target=rows.name)
        return tuple(reversed(fitting(self.hypertable, self.calendar, self.shape)))


@dataclass(frozen=True)
class AsOf:
    """Rows of one series with those of another as of their time. Raises InputError, ColumnError when it is made."""

    left: Hypertable
    right: Hypertable
    keys: Sequence[object] | None = None
    asked_by: Sequence[str] | None = None
    start: datetime | None = None
    end: datetime | None = None
    tolerance: Span | None = None
    strict: bool = False
    columns: Sequence[str] | None = None
    right_columns: Sequence[str] | None = None
    suffix: str = "_right"

    def __post_init__(self) -> None:
        check_range(self.start, self.end, operation="as of", target=self.left.name)
        for hypertable in (self.left, self.right):
            for name in self.by:
                if name not in hypertable.table.columns:
                    raise ColumnError(
                        f"there is no column {name!r} to join by",
                        operation="as of",
                        target=hypertable.name,
                        hint=f"name the columns that both have: by=(…); it has {', '.join(hypertable.columns)}",
                    )
        if isinstance(self.asked_by, str) or not self.by:
            raise InputError("needs a list of columns to join by", operation="as of", target=self.right.name)
        if len(set(self.by)) < len(self.by):
            raise InputError("joins by a column twice", operation="as of", target=self.right.name)
        if self.tolerance is not None:
            checked_span(self.tolerance, "tolerance", operation="as of", target=self.left.name)
        for name in self.by:
            kinds = [_kind(hypertable.table.columns[name].type) for hypertable in (self.left, self.right)]
            if kinds[0] != kinds[1]:
                raise ColumnError(
                    f"{name} is {kinds[0]} in {self.left.name} and {kinds[1]} in {self.right.name}",
                    operation="as of",
                    target=self.left.name,
                    hint="join by columns of one kind",
                )
        keyed(self.left.table, self.by, self.keys, operation="as of", target=self.left.name)
        names = [*(c.name for c in self.left_shown), *self.shown.values()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(
                f"two columns would be called {', '.join(twice)}",
                operation="as of",
                target=self.left.name,
                hint="choose another suffix, or fewer right_columns",
            )

    @cached_property
    def by(self) -> tuple[str, ...]:
        return key_of(self.right) if self.asked_by is None else tuple(self.asked_by)

    @cached_property
    def left_shown(self) -> tuple[sa.Column[object], ...]:
        return read_columns(Level(self.left, 0), self.columns)

    @cached_property
    def left_read(self) -> tuple[sa.Column[object], ...]:
        """What is shown, and what it is joined by."""
        names = [column.name for column in self.left_shown]
        more = [name for name in dict.fromkeys((self.left.time, *self.by)) if name not in names]
        return (*self.left_shown, *(self.left.table.columns[name] for name in more))

    @cached_property
    def right_read(self) -> tuple[sa.Column[object], ...]:
        chosen = [column.name for column in read_columns(Level(self.right, 0), self.right_columns)]
        names = dict.fromkeys((*chosen, self.right.time, *self.by))
        return tuple(self.right.table.columns[name] for name in names)

    @cached_property
    def shown(self) -> dict[str, str]:
        """The right's columns that are shown, and what they are called."""
        chosen = [column.name for column in read_columns(Level(self.right, 0), self.right_columns)]
        lefts = {column.name for column in self.left_shown}
        return {name: f"{name}{self.suffix}" if name in lefts else name for name in chosen if name not in self.by}


def _kind(kind: sa.types.TypeEngine[object]) -> str:
    """What a column holds, so that values of one kind can be compared."""
    match kind:
        case sa.Float():
            return "floating point"
        case sa.Numeric():
            return "a decimal"
        case sa.Integer():
            return "an integer"
        case _:
            return str(arrow_type(kind, exact=True))


def in_zone(table: Table, zone: str) -> Table:
    """The same instants, shown in a zone."""
    if zone == "UTC":
        return table
    fields = [
        field.with_type(pa.timestamp(field.type.unit, tz=zone))
        if pa.types.is_timestamp(field.type) and field.type.tz is not None
        else field
        for field in table.schema
    ]
    shown: Table = table.cast(pa.schema(fields))
    return shown
