"""Any history of a series: its rollups, at every level, are what Python makes of all rows that were ever accepted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from storekeeper.catalog import Catalog, Domain, Hypertable, Rollup, ohlcv
from storekeeper.catalog.naming import NAMING_CONVENTION
from storekeeper.errors import BelowWatermarkError
from storekeeper.span import Span, days, hours, minutes
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.stores.timescale.values import Appended, OnConflict
from storekeeper.timescale.bars import level_for
from storekeeper.timescale.capture import BELOW_WATERMARK
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import levels
from timescale_series import moment, run
from timescale_stores import opened

Psql = psycopg.Connection[tuple[object, ...]]

_table = sa.Table(
    "story",
    sa.MetaData(schema="lab", naming_convention=NAMING_CONVENTION),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("symbol", sa.String(32), nullable=False),
    sa.Column("price", sa.Numeric(18, 6), nullable=False),
    sa.Column("volume", sa.Numeric(24, 8), nullable=False),
)
sa.Index(None, _table.c.symbol, _table.c.time.desc(), unique=True)

STORY = Hypertable(
    _table,
    time="time",
    natural_key=("symbol", "time"),
    chunk=hours(6),
    drop_after=days(1),
    rollups=(
        Rollup("story_30m", minutes(30), ("symbol",), ohlcv("price", "volume"), keep=days(3), chunk=hours(20)),
        Rollup("story_2h", hours(2), ("symbol",), ohlcv("price", "volume"), keep=days(6), chunk=days(1)),
        Rollup("story_12h", hours(12), ("symbol",), ohlcv("price", "volume"), chunk=days(4)),
    ),
)
START = moment("2014-05-01 03:00")
SECONDS = 5 * 86400

Key = tuple[str, datetime]


@dataclass
class World:
    """A store, somebody with psql, and what Python knows of the rows."""

    store: Timescale
    psql: Psql
    rows: dict[Key, tuple[Decimal, Decimal]] = field(default_factory=dict)
    now: datetime = START + timedelta(days=1)

    @property
    def mark(self) -> datetime:
        return self.store.watermark("lab.story") or START - timedelta(days=1000)

    def keys(self, lower: datetime, upper: datetime) -> list[Key]:
        return [key for key in self.rows if lower <= key[1] < upper]

    def append(self, rows: dict[Key, tuple[Decimal, Decimal]], how: OnConflict = "error") -> Appended:
        given = [
            {"symbol": symbol, "time": time, "price": price, "volume": volume}
            for (symbol, time), (price, volume) in rows.items()
        ]
        return self.store.append("lab.story", given, on_conflict=how)

    def psql_runs(self, statement: str, *parameters: object) -> bool:
        """Whether the server took it: it refuses what is below the watermark, and what has no chunk."""
        try:
            self.psql.execute(statement.encode(), parameters)
        except (psycopg.errors.CheckViolation, psycopg.errors.UniqueViolation):
            return False
        except psycopg.Error as error:
            if error.sqlstate != BELOW_WATERMARK:
                raise
            return False
        return True


Step = Callable[[World], None]

_seconds = st.integers(0, SECONDS // 60).map(lambda minute: minute * 60) | st.integers(0, SECONDS)
_moments = _seconds.map(lambda second: START + timedelta(seconds=second))
_prices = st.integers(1, 10**9).map(lambda units: Decimal(units) / 10**6)
_volumes = st.integers(0, 10**12).map(lambda units: Decimal(units) / 10**8)
_new_rows = st.dictionaries(
    st.tuples(st.sampled_from("AB"), _moments), st.tuples(_prices, _volumes), min_size=1, max_size=25
)


@st.composite
def appends(draw: st.DrawFn) -> Step:
    rows = draw(_new_rows)
    how: OnConflict = draw(st.sampled_from(["skip", "update"]))

    def step(world: World) -> None:
        late = min(time for _, time in rows) < world.mark
        try:
            done = world.append(rows, how)
        except BelowWatermarkError:
            assert late
            return
        assert not late
        known = {key for key in rows if key in world.rows}
        assert done.inserted == len(rows) - len(known)
        world.rows |= {key: value for key, value in rows.items() if how == "update" or key not in known}

    return step


@st.composite
def inserts(draw: st.DrawFn) -> Step:
    """Of rows that are new, where there may be no chunk for them."""
    rows = draw(_new_rows)

    def step(world: World) -> None:
        fresh = {key: value for key, value in rows.items() if key not in world.rows}
        places = ", ".join(["(%s, %s, %s, %s)"] * len(fresh))
        if fresh and world.psql_runs(
            f"INSERT INTO lab.story (symbol, time, price, volume) VALUES {places}",
            *(part for key, value in fresh.items() for part in (*key, *value)),
        ):
            assert min(time for _, time in fresh) >= world.mark
            world.rows |= fresh

    return step


@st.composite
def changes(draw: st.DrawFn) -> Step:
    lower, length, price = draw(_moments), draw(st.integers(1, 40)), draw(_prices)
    kind, by_chunk = draw(st.sampled_from(["update", "move", "delete"])), draw(st.booleans())

    def step(world: World) -> None:
        upper = lower + timedelta(hours=length)
        table = "lab.story"
        chunks = world.store.chunks("lab.story")
        if by_chunk and chunks:
            chunk = chunks[length % len(chunks)]
            table, low, high = f"lab.{chunk.name}", chunk.range.lower, chunk.range.upper
        else:
            low, high = lower, upper
        old = world.keys(max(low, world.mark), high)
        where = "WHERE time >= %s AND time < %s"
        if kind == "update" and world.psql_runs(f"UPDATE {table} SET price = %s {where}", price, low, high):
            world.rows |= {key: (price, world.rows[key][1]) for key in old}
        if kind == "delete" and world.psql_runs(f"DELETE FROM {table} {where}", low, high):
            for key in old:
                del world.rows[key]
        if kind == "move" and table == "lab.story":
            shift = timedelta(minutes=137)
            moved = f"UPDATE {table} SET time = time + interval '137 min' {where}"
            if {(symbol, time + shift) for symbol, time in old} & (world.rows.keys() - set(old)):
                return
            if world.psql_runs(moved, low, high):
                values = {(symbol, time + shift): world.rows[symbol, time] for symbol, time in old}
                for key in old:
                    del world.rows[key]
                world.rows |= values

    return step


@st.composite
def truncations(draw: st.DrawFn) -> Step:
    place = draw(st.integers(0, 30))

    def step(world: World) -> None:
        chunks = [chunk for chunk in world.store.chunks("lab.story") if chunk.range.lower >= world.mark]
        if chunks:
            chunk = chunks[place % len(chunks)]
            assert world.psql_runs(f"TRUNCATE lab.{chunk.name}")
            for key in world.keys(chunk.range.lower, chunk.range.upper):
                del world.rows[key]

    return step


@st.composite
def nights(draw: st.DrawFn) -> Step:
    passed, what = draw(st.integers(0, 50)), draw(st.sampled_from(["refresh", "refresh all", "drop"]))

    def step(world: World) -> None:
        world.now += timedelta(hours=passed)
        if what == "drop":
            world.store.drop_chunks("lab.story", as_of=world.now)
        else:
            later = timedelta(days=100 if what == "refresh all" else 0)
            world.store.refresh("lab.story", as_of=world.now + later)

    return step


@st.composite
def looks(draw: st.DrawFn) -> Step:
    every = draw(st.sampled_from([minutes(10), minutes(30), hours(2), hours(6), hours(12), days(1), days(7)]))

    def step(world: World) -> None:
        """Bars are right at any moment, refreshed or not, as far back as what they are made of."""
        level = level_for(STORY, every)
        gone = world.store.watermark(level.name) or START - timedelta(days=1000)
        bars = world.store.bars("lab.story", every=every, exact=True).to_pylist()
        found = {
            (bar["bucket"], bar["symbol"]): tuple(bar[name] for name in _MEASURES)
            for bar in bars
            if bar["bucket"] >= gone
        }
        assert found == {key: value for key, value in made(world, every).items() if key[0] >= gone}

    return step


_MEASURES = ("open", "high", "low", "close", "volume", "count")


def made(world: World, every: Span) -> dict[tuple[datetime, str], tuple[Any, ...]]:
    """Buckets of all rows that were ever accepted: open, high, low, close, volume, count."""
    buckets: dict[tuple[datetime, str], list[tuple[datetime, Decimal, Decimal]]] = {}
    for (symbol, time), (price, volume) in world.rows.items():
        buckets.setdefault((every.floor(time), symbol), []).append((time, price, volume))
    return {
        key: (
            min(ticks)[1],
            max(tick[1] for tick in ticks),
            min(tick[1] for tick in ticks),
            max(ticks)[1],
            sum((tick[2] for tick in ticks), Decimal(0)),
            len(ticks),
        )
        for key, ticks in buckets.items()
    }


SOAK = os.environ.get("STOREKEEPER_TEST_PROFILE") == "soak"


# a failure is not made smaller: each attempt costs a second
@settings(
    max_examples=200 if SOAK else 8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(
    st.lists(
        st.one_of(appends(), appends(), inserts(), changes(), changes(), truncations(), nights(), nights(), looks()),
        min_size=6,
        max_size=16,
    )
)
def test_rollups_hold_every_row_ever_accepted(world_of: Callable[[], Iterator[World]], steps: list[Step]) -> None:
    for world in world_of():
        first = {
            (symbol, START + timedelta(minutes=place + 157 * count)): (Decimal(1 + count % 31), Decimal(place) / 8)
            for place, symbol in enumerate("AB", start=1)
            for count in range(SECONDS // 60 // 157)
        }
        world.append(first)
        world.rows = first
        for step in steps:
            step(world)
        world.store.refresh("lab.story", as_of=START + timedelta(days=100))
        for level in levels(STORY)[1:]:
            check_level(world, level.name, level.buckets.every)


def check_level(world: World, name: str, every: Span) -> None:
    """What stands in a rollup; of what it has dropped itself, a chunk that its watermark cuts may still be there."""
    gone = world.store.watermark(name)
    found = {(row["bucket"], row["symbol"]): row for row in world.store.raw(name, exact=True).to_pylist()}
    expected = {
        key: value for key, value in made(world, every).items() if gone is None or key[0] >= gone or key in found
    }
    assert {key: tuple(row[name] for name in _MEASURES) for key, row in found.items()} == expected
    notional: dict[tuple[datetime, str], Decimal] = {}
    for (symbol, time), (price, volume) in world.rows.items():
        key = (every.floor(time), symbol)
        notional[key] = notional.get(key, Decimal(0)) + price * volume
    assert all(row["notional"] == notional[key] for key, row in found.items())


@pytest.fixture
def world_of(series_url: str, engine: Engine) -> Iterator[Callable[[], Iterator[World]]]:
    catalog = Catalog((Domain("lab", hypertables=(STORY,)),))
    with opened(series_url, engine, catalog) as store, psycopg.connect(series_url, autocommit=True) as psql:

        def fresh() -> Iterator[World]:
            with psql.transaction():
                run(psql, engine.create_hypertable(STORY))
                for rollup in STORY.rollups:
                    run(psql, engine.create_rollup(STORY, rollup))
            try:
                yield World(Timescale(store.pool, catalog, engine), psql)
            finally:
                with psql.transaction():
                    for rollup in reversed(STORY.rollups):
                        run(psql, engine.drop_rollup(STORY, rollup))
                    run(psql, engine.drop_hypertable(STORY))

        yield fresh
