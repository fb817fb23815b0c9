"""One table as of another, against a loop over both and against pandas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from storekeeper.errors import ColumnError, InputError
from storekeeper.span import minutes, months
from storekeeper.stores.timescale.joining import joined, matches
from storekeeper.stores.timescale.questions import AsOf, in_zone
from timescale_series import CANDLES, READINGS, TICKS

START = datetime(2024, 5, 31, tzinfo=UTC)
_KEYS = st.sampled_from(["A", "B", "C", None])
_ROWS = st.lists(st.tuples(st.integers(0, 12), _KEYS, st.sampled_from([1, 2, None])), max_size=12)


def table(rows: list[tuple[int, Any, Any]], time: str) -> pa.Table:
    moments = [START + timedelta(minutes=minute) for minute, _, _ in rows]
    return pa.table(
        {
            time: pa.array(moments, pa.timestamp("us", tz="UTC")),
            "symbol": pa.array([symbol for _, symbol, _ in rows], pa.string()),
            "venue": pa.array([venue for _, _, venue in rows], pa.int64()),
            "row": pa.array(range(len(rows)), pa.int64()),
        }
    )


@given(_ROWS, _ROWS, st.booleans())
def test_the_newest_row_of_the_same_key(left: list[Any], right: list[Any], strict: bool) -> None:
    left, right = sorted(left, key=lambda row: row[0]), sorted(right, key=lambda row: row[0])
    wanted = []
    for minute, *key in left:
        rows = [
            place
            for place, (at, *other) in enumerate(right)
            if other == key and None not in key and (at < minute or (at == minute and not strict))
        ]
        wanted.append(max(rows, key=lambda place: (right[place][0], place), default=-1))
    found = matches(table(left, "at"), table(right, "then"), ("symbol", "venue"), ("at", "then"), strict=strict)
    assert found.tolist() == wanted


@given(_ROWS, _ROWS)
def test_ties_are_those_of_pandas(left: list[Any], right: list[Any]) -> None:
    ours, others = (
        table(sorted((row for row in rows if None not in row), key=lambda row: row[0]), "at") for rows in (left, right)
    )
    found = matches(ours, others, ("symbol", "venue"), ("at", "at")).tolist()
    frames = [one.to_pandas() for one in (ours, others)]
    if all(len(frame) for frame in frames):
        merged = pd.merge_asof(frames[0], frames[1], on="at", by=["symbol", "venue"])
        assert merged["row_y"].fillna(-1).astype(int).tolist() == found


def test_columns_and_tolerance() -> None:
    question = AsOf(TICKS, TICKS, tolerance=minutes(5), columns=["price"], right_columns=["price", "bid"])
    assert [column.name for column in question.left_read] == ["price", "time", "symbol"]
    left, right = (
        pa.table(
            {
                "time": pa.array([START + timedelta(minutes=at) for at in moments], pa.timestamp("us", tz="UTC")),
                "symbol": ["A"] * len(moments),
                "price": [float(at) for at in moments],
                "bid": [float(at) for at in moments],
            }
        )
        for moments in ((5, 6, 7), (0, 1))
    )
    assert joined(question, left, right).to_pylist() == [
        {"price": 5.0, "price_right": 1.0, "bid": 1.0},
        {"price": 6.0, "price_right": 1.0, "bid": 1.0},
        {"price": 7.0, "price_right": None, "bid": None},
    ]
    monthly = AsOf(TICKS, TICKS, tolerance=months(1), columns=["price"], right_columns=["bid"])
    assert joined(monthly, left, right).column("bid").to_pylist() == [1.0, 1.0, 1.0]
    assert joined(question, left, right.slice(0, 0)).column("bid").null_count == 3
    assert joined(question, left.slice(0, 0), right).num_rows == 0


def test_what_cannot_be_joined() -> None:
    with pytest.raises(ColumnError, match="'station' to join by"):
        AsOf(TICKS, READINGS)
    with pytest.raises(InputError, match="list of columns"):
        AsOf(TICKS, CANDLES, asked_by=())
    with pytest.raises(InputError, match="by a column twice"):
        AsOf(TICKS, CANDLES, asked_by=("symbol", "symbol"))
    with pytest.raises(InputError, match="called price"):
        AsOf(TICKS, TICKS, suffix="", columns=["price"], right_columns=["price"])
    with pytest.raises(ColumnError, match="nonsense"):
        AsOf(TICKS, CANDLES, right_columns=["nonsense"])
    with pytest.raises(InputError, match="before it begins"):
        AsOf(TICKS, CANDLES, start=START, end=START)
    with pytest.raises(InputError, match="no list of keys"):
        AsOf(TICKS, CANDLES, "A")


def test_instants_stay_the_same_in_a_zone() -> None:
    shown = in_zone(table([(0, "A", 1)], "at"), "America/New_York")
    assert shown.schema.field("at").type == pa.timestamp("us", tz="America/New_York")
    assert shown.column("at")[0].as_py() == START
