"""Histories of a series: steps that Hypothesis draws, and what must have come of them, as pandas has it.

`raw` is what the table must hold, `counted` what its rollups must hold: all rows that were ever accepted, but for those
that came when their time was gone already and that are kept outside the rollups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pandas as pd
import psycopg
import sqlalchemy as sa
from hypothesis import strategies as st

from storekeeper.catalog import Catalog, Domain, Hypertable, Rollup, ohlcv
from storekeeper.catalog.naming import NAMING_CONVENTION
from storekeeper.errors import BelowWatermarkError
from storekeeper.span import ORIGIN, Span, days, hours, minutes
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.stores.timescale.values import Appended, OnConflict, Refreshed
from storekeeper.timescale.capture import BELOW_WATERMARK
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import levels
from storekeeper.timescale.routing import level_for
from timescale_series import moment
from timescale_stores import opened

Psql = psycopg.Connection[tuple[object, ...]]
Key = tuple[str, datetime]
Rows = dict[Key, tuple[Decimal, Decimal]]

START = moment("2014-05-01 03:00")
SECONDS = 5 * 86400
LONG_AFTER = START + timedelta(days=100)
MEASURES = ("open", "high", "low", "close", "volume", "notional", "count")


def story(late_rows: Literal["refuse", "keep"]) -> Hypertable:
    """Compressed and dropped early; each of three rollups is made of the one before, two of them are dropped too."""
    table = sa.Table(
        "story",
        sa.MetaData(schema="lab", naming_convention=NAMING_CONVENTION),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("symbol", sa.String(32), nullable=False),
        sa.Column("price", sa.Numeric(18, 6), nullable=False),
        sa.Column("volume", sa.Numeric(24, 8), nullable=False),
    )
    sa.Index(None, table.c.symbol, table.c.time.desc(), unique=True)
    by, measures = ("symbol",), ohlcv("price", "volume")
    return Hypertable(
        table,
        time="time",
        natural_key=("symbol", "time"),
        chunk=hours(6),
        segment_by=("symbol",),
        order_by=("time DESC",),
        compress_after=hours(12),
        drop_after=days(1),
        late_rows=late_rows,
        rollups=(
            Rollup("story_30m", minutes(30), by, measures, keep=days(3), chunk=hours(20)),
            Rollup("story_2h", hours(2), by, measures, keep=days(6), chunk=days(1)),
            Rollup("story_12h", hours(12), by, measures, chunk=days(4)),
        ),
    )


@dataclass
class World:
    """A store, somebody with psql, and what Python knows of the rows."""

    store: Timescale
    psql: Psql
    hypertable: Hypertable
    raw: Rows = field(default_factory=dict)
    counted: Rows = field(default_factory=dict)
    now: datetime = START + timedelta(days=1)

    @property
    def mark(self) -> datetime:
        return self.store.watermark("lab.story") or START - timedelta(days=1000)

    @property
    def keeps(self) -> bool:
        return self.hypertable.late_rows == "keep"

    @property
    def partitions(self) -> bool:
        """Whether chunks are tables to which anybody may write, and between which rows may move."""
        return self.store.engine.name == "partitions"

    def refused(self, times: Iterable[datetime]) -> bool:
        """Whether a change of rows of these times is."""
        return not self.keeps and min(times, default=self.mark) < self.mark

    def put(self, rows: Rows) -> None:
        self.raw |= rows
        self.counted |= {key: value for key, value in rows.items() if key[1] >= self.mark}

    def take(self, keys: Iterable[Key]) -> None:
        for key in keys:
            del self.raw[key]
            if key[1] >= self.mark:
                del self.counted[key]

    def keys(self, lower: datetime, upper: datetime) -> list[Key]:
        return [key for key in self.raw if lower <= key[1] < upper]

    def append(self, rows: Rows, how: OnConflict = "error") -> Appended:
        given = [
            {"symbol": symbol, "time": time, "price": price, "volume": volume}
            for (symbol, time), (price, volume) in rows.items()
        ]
        return self.store.append("lab.story", given, on_conflict=how)

    def psql_runs(self, statement: str, *parameters: object) -> bool:
        """Whether the server took it: it refuses what is below the watermark, what has no chunk, and to change the time
        of rows that are compressed."""
        refusals = (
            psycopg.errors.CheckViolation,
            psycopg.errors.UniqueViolation,
            psycopg.errors.FeatureNotSupported,
        )
        try:
            self.psql.execute(statement.encode(), parameters)
        except refusals:
            return False
        except psycopg.Error as error:
            if error.sqlstate != BELOW_WATERMARK:
                raise
            return False
        return True

    def refresh(self, as_of: datetime) -> None:
        self.above_the_marks(self.store.refresh("lab.story", as_of=as_of))

    def above_the_marks(self, refreshed: Iterable[Refreshed]) -> None:
        """No window is made anew whose source is gone already, even in part."""
        by_name = {level.name: level for level in levels(self.hypertable)[1:]}
        for one in refreshed:
            gone = self.marks_before.get(by_name[one.dataset].source.name)
            assert gone is None or one.window.upper > gone, "all of what it is made of is gone"

    @property
    def marks_before(self) -> dict[str, datetime]:
        found = {level.name: self.store.watermark(level.name) for level in levels(self.hypertable)}
        return {name: mark for name, mark in found.items() if mark is not None}


@dataclass(frozen=True)
class Step:
    """`told` is what a failing example shows."""

    told: str
    happen: Callable[[World], None] = field(repr=False)


_seconds = st.integers(0, SECONDS // 60).map(lambda minute: minute * 60) | st.integers(0, SECONDS)
_moments = _seconds.map(lambda second: START + timedelta(seconds=second))
_prices = st.integers(1, 10**9).map(lambda units: Decimal(units) / 10**6)
_volumes = st.integers(0, 10**12).map(lambda units: Decimal(units) / 10**8)
_new_rows = st.dictionaries(
    st.tuples(st.sampled_from("AB"), _moments), st.tuples(_prices, _volumes), min_size=1, max_size=25
)


@st.composite
def appends(draw: st.DrawFn) -> Step:
    """Rows of any age, some of them known already: all of them, or none."""
    rows = draw(_new_rows)
    how: OnConflict = draw(st.sampled_from(["skip", "update"]))

    def step(world: World) -> None:
        late = world.refused(time for _, time in rows)
        try:
            done = world.append(rows, how)
        except BelowWatermarkError:
            assert late
            return
        assert not late
        known = {key for key in rows if key in world.raw}
        assert done.inserted == len(rows) - len(known)
        world.put({key: value for key, value in rows.items() if how == "update" or key not in known})

    return Step(f"append, {how}: {rows}", step)


@st.composite
def inserts(draw: st.DrawFn) -> Step:
    """Of rows that are new, where there may be no chunk for them."""
    rows = draw(_new_rows)

    def step(world: World) -> None:
        fresh = {key: value for key, value in rows.items() if key not in world.raw}
        places = ", ".join(["(%s, %s, %s, %s)"] * len(fresh))
        if fresh and world.psql_runs(
            f"INSERT INTO lab.story (symbol, time, price, volume) VALUES {places}",
            *(part for key, value in fresh.items() for part in (*key, *value)),
        ):
            assert not world.refused(time for _, time in fresh)
            world.put(fresh)

    return Step(f"insert: {rows}", step)


@st.composite
def changes(draw: st.DrawFn) -> Step:
    """Corrections and deletions by somebody with psql, of a range or of a chunk by its name."""
    lower, length, price = draw(_moments), draw(st.integers(1, 40)), draw(_prices)
    kind, by_chunk = draw(st.sampled_from(["update", "move", "delete"])), draw(st.booleans())

    def step(world: World) -> None:
        table, low, high = "lab.story", lower, lower + timedelta(hours=length)
        chunks = world.store.chunks("lab.story")
        if not world.partitions:
            # updates by a chunk's name go unnoted there, and before 2.28 deletions pass its columnstore by
            chunks = [chunk for chunk in chunks if kind == "delete" and not chunk.compressed]
        if by_chunk and chunks:
            chunk = chunks[length % len(chunks)]
            table, low, high = chunk.label, chunk.range.lower, chunk.range.upper
        old = world.keys(low, high)
        where = "WHERE time >= %s AND time < %s"
        if kind == "update":
            done = world.psql_runs(f"UPDATE {table} SET price = %s {where}", price, low, high)
            assert done is not world.refused(time for _, time in old)
            if done:
                world.put({key: (price, world.raw[key][1]) for key in old})
        if kind == "delete":
            done = world.psql_runs(f"DELETE FROM {table} {where}", low, high)
            assert done is not world.refused(time for _, time in old)
            if done:
                world.take(old)
        if kind == "move" and table == "lab.story":
            _move(world, old, low, high)

    return Step(f"{kind} {length} hours from {lower}, {by_chunk=}, {price=}", step)


def _move(world: World, old: list[Key], low: datetime, high: datetime) -> None:
    shift = timedelta(minutes=137)
    values = {(symbol, time + shift): world.raw[symbol, time] for symbol, time in old}
    if values.keys() & (world.raw.keys() - set(old)):
        return
    moved = "UPDATE lab.story SET time = time + interval '137 min' WHERE time >= %s AND time < %s"
    if world.psql_runs(moved, low, high):
        assert not world.refused(time for _, time in old)
        world.take(old)
        world.put(values)


@st.composite
def truncations(draw: st.DrawFn) -> Step:
    place, whole = draw(st.integers(0, 30)), draw(st.integers(0, 4)) == 0

    def step(world: World) -> None:
        if whole:
            assert world.psql_runs("TRUNCATE lab.story")
            world.take(list(world.raw))
        chunks = [chunk for chunk in world.store.chunks("lab.story") if chunk.range.lower >= world.mark]
        if world.partitions and chunks and not whole:
            chunk = chunks[place % len(chunks)]
            assert world.psql_runs(f"TRUNCATE {chunk.label}")
            world.take(world.keys(chunk.range.lower, chunk.range.upper))

    return Step(f"truncate {place}, {whole=}", step)


@st.composite
def nights(draw: st.DrawFn) -> Step:
    """What jobs do, at any moment and in any order."""
    passed = draw(st.integers(0, 50))
    what = draw(st.sampled_from(["refresh", "refresh all", "compress", "drop"]))

    def step(world: World) -> None:
        world.now += timedelta(hours=passed)
        if what == "drop":
            for done in world.store.drop_chunks("lab.story", as_of=world.now):
                gone = [chunk.range for chunk in done.chunks if done.dataset == "lab.story"]
                for piece in gone:
                    for key in world.keys(piece.lower, piece.upper):
                        del world.raw[key]
        elif what == "compress":
            if world.store.engine.columnstore:
                world.store.compress("lab.story", as_of=world.now)
                assert world.store.compress("lab.story", as_of=world.now) == []
        else:
            world.refresh(LONG_AFTER if what == "refresh all" else world.now)

    return Step(f"{passed} hours later {what}", step)


@st.composite
def looks(draw: st.DrawFn) -> Step:
    every = draw(st.sampled_from([minutes(30), hours(2), hours(6), hours(12), days(1), days(7)]))

    def step(world: World) -> None:
        """Bars are right at any moment, refreshed or not, as far back as what they are made of."""
        level = level_for(world.hypertable, every)
        gone = world.store.watermark(level.name) or START - timedelta(days=1000)
        bars = world.store.bars("lab.story", every=every, exact=True).to_pylist()
        names = [name for name in MEASURES if name != "notional"]
        found = {
            (bar["bucket"], bar["symbol"]): tuple(bar[name] for name in names) for bar in bars if bar["bucket"] >= gone
        }
        expected = buckets(world.counted, every)
        kept = [MEASURES.index(name) for name in names]
        assert found == {
            key: tuple(value[place] for place in kept) for key, value in expected.items() if key[0] >= gone
        }

    return Step(f"bars of {every}", step)


steps = st.lists(
    st.one_of(
        appends(), appends(), inserts(), changes(), changes(), truncations(), nights(), nights(), nights(), looks()
    ),
    min_size=6,
    max_size=16,
)


def buckets(rows: Rows, every: Span) -> dict[tuple[datetime, str], tuple[Any, ...]]:
    """These rows in buckets, as pandas makes them: the measures by bucket and symbol."""
    if not rows:
        return {}
    frame = pd.DataFrame(
        [(time, symbol, price, volume) for (symbol, time), (price, volume) in rows.items()],
        columns=["time", "symbol", "price", "volume"],
    )
    frame["notional"] = frame["price"] * frame["volume"]
    since = pd.Timestamp(ORIGIN)
    frame["bucket"] = since + (frame["time"] - since) // pd.Timedelta(every.duration) * pd.Timedelta(every.duration)
    made = (
        frame.sort_values("time")
        .groupby(["bucket", "symbol"])
        .agg(
            open=("price", "first"),
            high=("price", "max"),
            low=("price", "min"),
            close=("price", "last"),
            volume=("volume", "sum"),
            notional=("notional", "sum"),
            count=("price", "size"),
        )
    )
    return {
        (bucket.to_pydatetime(), symbol): values
        for (bucket, symbol), values in zip(made.index, made.itertuples(index=False, name=None), strict=True)
    }


def check(world: World) -> None:
    """Refreshes all, and compares the table and every rollup with what there must be."""
    world.refresh(LONG_AFTER)
    table = world.store.raw("lab.story", exact=True).to_pylist()
    assert {(row["symbol"], row["time"]): (row["price"], row["volume"]) for row in table} == world.raw
    for level in levels(world.hypertable)[1:]:
        gone = world.store.watermark(level.name)
        rows = world.store.raw(level.name, exact=True).to_pylist()
        found = {(row["bucket"], row["symbol"]): tuple(row[name] for name in MEASURES) for row in rows}
        assert len(found) == len(rows)
        # of what a rollup has dropped itself, a chunk that its watermark cuts may still be there
        expected = buckets(world.counted, level.buckets.every)
        assert found == {
            key: value for key, value in expected.items() if gone is None or key[0] >= gone or key in found
        }


@contextmanager
def begun(url: str, engine: Engine, hypertable: Hypertable) -> Iterator[World]:
    """The series, which this database holds, and five days of rows in it, one every few hours."""
    catalog = Catalog((Domain("lab", hypertables=(hypertable,)),))
    with opened(url, engine, catalog) as store, psycopg.connect(url, autocommit=True) as psql:
        world = World(store, psql, hypertable)
        first = {
            (symbol, START + timedelta(minutes=place + 157 * count)): (Decimal(1 + count % 31), Decimal(place) / 8)
            for place, symbol in enumerate("AB", start=1)
            for count in range(SECONDS // 60 // 157)
        }
        world.append(first)
        world.put(first)
        yield world
