"""Buckets without a row, against the same filled one by one in plain Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from storekeeper.catalog import Aggregate, Measure
from storekeeper.errors import InputError
from storekeeper.stores.timescale.gaps import Gaps, check_gaps, check_size, filled
from storekeeper.timescale.shapes import Shape

START = datetime(2024, 5, 1, tzinfo=UTC)
SHAPE = Shape(
    ("symbol", "venue"),
    (
        Measure("open", Aggregate.FIRST, ("price",)),
        Measure("high", Aggregate.MAX, ("peak",)),
        Measure("close", Aggregate.LAST, ("price",)),
        Measure("volume", Aggregate.SUM, ("volume",)),
        Measure("notional", Aggregate.SUM_PRODUCT, ("price", "volume")),
        Measure("best", Aggregate.MAX, ("score",)),
        Measure("note", Aggregate.LAST, ("note",)),
        Measure("count", Aggregate.COUNT),
    ),
)
_PRICE = pa.decimal128(18, 2)
_FIELDS: list[tuple[str, pa.DataType]] = [
    ("bucket", pa.timestamp("us", tz="UTC")),
    ("symbol", pa.string()),
    ("venue", pa.int16()),
    ("open", _PRICE),
    ("high", pa.float64()),
    ("close", _PRICE),
    ("volume", pa.decimal128(38, 24)),
    ("vwap", pa.float64()),
    ("best", pa.int64()),
    ("note", pa.string()),
    ("count", pa.int64()),
]
SCHEMA = pa.schema(_FIELDS)
KEYS = [("B", 2), ("A", 1), ("A", 2)]
PRICES = ("open", "high", "close", "best", "note")

prices = st.decimals(Decimal("-999999999999999.99"), Decimal("999999999999999.99"), places=2) | st.decimals(
    Decimal(-9), Decimal(9), places=2
)


@st.composite
def bar_tables(draw: st.DrawFn) -> tuple[int, list[dict[str, Any]], list[dict[str, Any]]]:
    """How many buckets, the bars of some, and what was known before."""
    count = draw(st.integers(1, 8))
    bars = [
        {
            "bucket": START + timedelta(minutes=place),
            "symbol": symbol,
            "venue": venue,
            "open": draw(prices | st.none()),
            "high": draw(st.floats(-1e6, 1e6) | st.none()),
            "close": draw(prices | st.none()),
            "volume": Decimal(3),
            "vwap": 1.5,
            "best": draw(st.integers(-(2**63), 2**63 - 1) | st.none()),
            "note": draw(st.sampled_from(["x", "y", None])),
            "count": 1,
        }
        for place in range(count)
        for symbol, venue in KEYS
        if draw(st.booleans())
    ]
    before = [
        {"symbol": symbol, "venue": venue, "close": draw(prices | st.none()), "note": draw(st.none() | st.just("old"))}
        for symbol, venue in KEYS
    ]
    return count, bars, before


def by_hand(count: int, bars: list[dict[str, Any]], before: list[dict[str, Any]], gaps: Gaps) -> list[dict[str, Any]]:
    there = {(bar["bucket"], bar["symbol"], bar["venue"]): bar for bar in bars}
    result = []
    for place in range(count):
        for key in KEYS:
            moment = START + timedelta(minutes=place)
            bar = there.get((moment, *key))
            if bar is None:
                bar = {"bucket": moment, "symbol": key[0], "venue": key[1], "vwap": None}
                zero = None if gaps == "null" else 0
                bar |= {"volume": zero, "count": zero}
                line = [there.get((START + timedelta(minutes=at), *key), {}) for at in range(count)]
                known = next(old for old in before if (old["symbol"], old["venue"]) == key)
                for name in PRICES:
                    match gaps:
                        case "last":
                            bar[name] = carried(line, known, name, place)
                        case "linear":
                            bar[name] = between(line, name, place)
            result.append(bar)
    return result


def carried(line: list[dict[str, Any]], known: dict[str, Any], name: str, place: int) -> Any:
    source = "close" if name == "open" else name
    values = [known.get(source), *(bar.get(source) for bar in line[:place])]
    return next((value for value in reversed(values) if value is not None), None)


def between(line: list[dict[str, Any]], name: str, place: int) -> Any:
    before = [at for at in range(place) if line[at].get(name) is not None]
    after = [at for at in range(place, len(line)) if line[at].get(name) is not None]
    if not before or not after or name == "note":
        return None
    low, high = line[before[-1]][name], line[after[0]][name]
    exact = Fraction(low) + (Fraction(high) - Fraction(low)) * (place - before[-1]) / (after[0] - before[-1])
    if isinstance(low, float):
        return float(exact)
    scale = 100 if isinstance(low, Decimal) else 1
    return round(exact * scale) if scale == 1 else Decimal(round(exact * scale)).scaleb(-2)  # round: halves to even


def as_filled(count: int, bars: list[dict[str, Any]], before: list[dict[str, Any]], gaps: Gaps) -> list[dict[str, Any]]:
    kept: list[tuple[str, pa.DataType]] = [
        ("symbol", pa.string()),
        ("venue", pa.int16()),
        ("close", _PRICE),
        ("note", pa.string()),
    ]
    keys = pa.Table.from_pylist(before, pa.schema(kept))
    first = int(START.timestamp()) * 1_000_000
    instants = np.arange(first, first + count * 60_000_000, 60_000_000)
    table = filled(pa.Table.from_pylist(bars, SCHEMA), instants, keys, SHAPE, gaps)
    assert table.schema == SCHEMA
    return table.to_pylist()


@given(bar_tables(), st.sampled_from(["null", "last"]))
def test_nulls_and_last_values(made: tuple[int, Any, Any], gaps: Gaps) -> None:
    count, bars, before = made
    by_name = [{name: bar.get(name) for name in SCHEMA.names} for bar in by_hand(count, bars, before, gaps)]
    assert as_filled(count, bars, before, gaps) == by_name


@given(bar_tables())
def test_lines_between_neighbours(made: tuple[int, Any, Any]) -> None:
    count, bars, before = made
    for found, wanted in zip(
        as_filled(count, bars, before, "linear"), by_hand(count, bars, before, "linear"), strict=True
    ):
        highs = found.pop("high"), wanted.pop("high")
        assert highs == (None, None) or highs[0] == pytest.approx(highs[1], rel=1e-12, abs=1e-6)
        assert found == wanted


def test_halves_go_to_even() -> None:
    assert Decimal("0.125").quantize(Decimal("0.01"), ROUND_HALF_EVEN) == Decimal("0.12")
    bars = [
        dict.fromkeys(SCHEMA.names)
        | {"bucket": START + timedelta(minutes=at), "symbol": "A", "venue": 1, "open": Decimal(value), "best": best}
        for at, value, best in ((0, "0.10", 0), (2, "0.15", 1), (4, "0.16", 2**62))
    ]
    before = [{"symbol": "A", "venue": 1}]
    found = as_filled(5, bars, before, "linear")
    assert [bar["open"] for bar in found] == [Decimal(v) for v in ("0.10", "0.12", "0.15", "0.16", "0.16")]
    assert [bar["best"] for bar in found] == [0, 0, 1, 2**61, 2**62]


def test_a_close_of_more_decimals_than_the_open_is_rounded_into_it() -> None:
    shape = Shape((), (Measure("open", Aggregate.FIRST, ("open",)), Measure("close", Aggregate.LAST, ("close",))))
    bars = pa.table(
        {
            "bucket": pa.array([START], pa.timestamp("us", tz="UTC")),
            "open": pa.array([Decimal("1.00")], pa.decimal128(18, 2)),
            "close": pa.array([Decimal("1.12500000")], pa.decimal128(24, 8)),
        }
    )
    at = int(START.timestamp() * 1_000_000)
    instants = np.array([at, at + 60_000_000])
    found = filled(bars, instants, pa.table({"found": [True]}), shape, "last")
    assert found.column("open").to_pylist() == [Decimal("1.00"), Decimal("1.12")]


def test_what_cannot_be_filled() -> None:
    with pytest.raises(InputError, match="no way to fill gaps"):
        check_gaps("nearest", target="lab.ticks")
    check_size(10_000_000, 1, target="lab.ticks")
    with pytest.raises(InputError, match="of 2 keys are too many"):
        check_size(5_000_001, 2, target="lab.ticks")
