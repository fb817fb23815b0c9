"""Rolling statistics and returns, against loops over plain lists."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from storekeeper.analytics.rolling import PERIODS_PER_YEAR, Statistic, drawdown, returns, rolling, volatility
from storekeeper.errors import ColumnError, InputError
from storekeeper.span import days, hours, minutes, months
from storekeeper.stores.timescale.answers import keys_told, with_keys

START = datetime(2024, 5, 1, tzinfo=UTC)
Row = tuple[int, str, float | None]

values = st.one_of(
    st.floats(0.01, 1000).map(lambda value: round(value, 4)), st.sampled_from([None, math.nan, math.inf, 0.0, -1.5])
)
tables = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["A", "B"]), values), max_size=25)


def table(rows: list[Row]) -> pa.Table:
    found = pa.table(
        {
            "bucket": pa.array([START + timedelta(minutes=minute) for minute, _, _ in rows], pa.timestamp("us", "UTC")),
            "symbol": pa.array([symbol for _, symbol, _ in rows], pa.string()),
            "close": pa.array([close for _, _, close in rows], pa.float64()),
        }
    )
    return with_keys(found, ["symbol"])


def known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def lines(rows: list[Row]) -> list[list[tuple[int, int, float | None]]]:
    """Of each symbol: (row, minute, value) in order of time."""
    ordered = sorted(range(len(rows)), key=lambda place: rows[place][0])
    return [
        [(place, rows[place][0], known(rows[place][2])) for place in ordered if rows[place][1] == symbol]
        for symbol in "AB"
    ]


def close_to(found: pa.Table, name: str, wanted: dict[int, float | None]) -> None:
    column = found.column(name).to_pylist()
    assert len(column) == len(wanted)
    for place, value in enumerate(column):
        other = wanted[place]
        assert (value is None) == (other is None), (place, value, other)
        if value is not None and other is not None:
            assert value == pytest.approx(other, rel=1e-9, abs=1e-6)


def of(statistic: Statistic, seen: list[float], least: int) -> float | None:
    if len(seen) < least or (statistic == "std" and len(seen) < 2):
        return None
    one = {"mean": statistics.fmean, "std": statistics.stdev, "min": min, "max": max, "sum": math.fsum}[statistic]
    return float(one(seen))  # type: ignore[operator]  # all take a list of numbers


@given(tables, st.sampled_from(["mean", "std", "min", "max", "sum"]), st.integers(1, 5), st.data())
def test_windows_by_count(rows: list[Row], statistic: Statistic, window: int, data: st.DataObject) -> None:
    least = data.draw(st.none() | st.integers(1, window))
    wanted = {}
    for line in lines(rows):
        for at, (place, _, _) in enumerate(line):
            seen = [value for _, _, value in line[max(0, at + 1 - window) : at + 1] if value is not None]
            wanted[place] = of(statistic, seen, least or window)
    close_to(rolling(table(rows), statistic, window, least=least), f"close_{statistic}_{window}", wanted)


@given(tables, st.sampled_from(["mean", "std", "min", "max", "sum"]), st.integers(1, 12))
def test_windows_by_time(rows: list[Row], statistic: Statistic, length: int) -> None:
    wanted = {}
    for line in lines(rows):
        for at, (place, minute, _) in enumerate(line):
            seen = [value for _, then, value in line[: at + 1] if value is not None and then > minute - length]
            wanted[place] = of(statistic, seen, 1)
    close_to(rolling(table(rows), statistic, minutes(length)), f"close_{statistic}_{minutes(length)}", wanted)


@given(tables, st.sampled_from(["simple", "log"]), st.integers(1, 3))
def test_returns(rows: list[Row], kind: Any, periods: int) -> None:
    wanted: dict[int, float | None] = {}
    for line in lines(rows):
        for at, (place, _, value) in enumerate(line):
            before = line[at - periods][2] if at >= periods else None
            there = value is not None and before is not None and before > 0 and (kind == "simple" or value > 0)
            ratio = value / before if there and value is not None and before is not None else 0
            wanted[place] = None if not there else (ratio - 1 if kind == "simple" else math.log(ratio))
    name = "close_return" if kind == "simple" else "close_log_return"
    close_to(returns(table(rows), kind=kind, periods=periods), name, wanted)


@given(tables, st.integers(2, 5))
def test_volatility(rows: list[Row], window: int) -> None:
    wanted: dict[int, float | None] = {}
    logs = returns(table(rows), kind="log").column("close_log_return").to_pylist()
    for line in lines(rows):
        for at, (place, _, _) in enumerate(line):
            window_of = [logs[row] for row, _, _ in line[max(0, at + 1 - window) : at + 1]]
            seen = [value for value in window_of if value is not None]
            deviation = of("std", seen, window)
            wanted[place] = None if deviation is None else deviation * math.sqrt(252)
    found = volatility(table(rows), window, periods_per_year="trading days")
    close_to(found, f"close_volatility_{window}", wanted)


@given(tables)
def test_drawdown(rows: list[Row]) -> None:
    wanted: dict[int, float | None] = {}
    for line in lines(rows):
        highest = -math.inf
        for place, _, value in line:
            highest = max(highest, value if value is not None else -math.inf)
            wanted[place] = None if value is None or highest <= 0 else value / highest - 1
    close_to(drawdown(table(rows)), "close_drawdown", wanted)


ROWS: list[Row] = [(2, "A", 3.0), (0, "A", 1.0), (1, "B", 8.0), (1, "A", 2.0)]


def test_lines_are_told_apart_as_the_series_is_declared() -> None:
    """By a key that is no text, and not by a text that is no key."""
    lined = table([(place, "", float(place)) for place in range(4)]).append_column("sensor", pa.array([1, 2, 1, 2]))
    noted = lined.set_column(1, "note", pa.array(["a", "b", "c", "d"]))
    wanted = [None, None, 2.0, 4.0]
    by_sensor = with_keys(noted, ["sensor"])
    assert rolling(by_sensor, "sum", 2).column("close_sum_2").to_pylist() == wanted
    again = rolling(returns(by_sensor), "sum", 2)
    assert keys_told(again) == ("sensor",), "the answer knows it too"
    assert rolling(with_keys(noted, []), "sum", 2).column("close_sum_2").to_pylist() == [None, 1.0, 3.0, 5.0]
    for unknown in (noted.replace_schema_metadata(None), by_sensor.to_pandas(), pl.DataFrame(pl.from_arrow(by_sensor))):
        with pytest.raises(InputError, match="nothing says which columns") as caught:
            rolling(unknown, "sum", 2)
        assert "by=['note']" in caught.value.hint
        assert rolling(unknown, "sum", 2, by=["sensor"]).column("close_sum_2").to_pylist() == wanted
    with pytest.raises(ColumnError, match="'sensor', which tells its lines apart"):
        rolling(by_sensor.drop_columns(["sensor"]), "sum", 2)


def test_frames_of_all_kinds_and_orders() -> None:
    arrow = table(ROWS)
    wanted = [2.5, None, None, 1.5]
    for rows, by in (
        (arrow, None),
        (arrow.to_pandas(), ["symbol"]),
        (pl.DataFrame(pl.from_arrow(arrow)), ["symbol"]),
        (arrow.to_pandas().set_index(["bucket", "symbol"]), None),
    ):
        found = rolling(rows, "mean", 2, by=by)
        assert found.column("close_mean_2").to_pylist() == wanted
        assert found.column("close").to_pylist() == [3.0, 1.0, 8.0, 2.0]
    exact = arrow.set_column(2, "close", pa.array([Decimal(3), Decimal(1), Decimal(8), Decimal(2)]))
    assert rolling(exact, "mean", 2, name="m").column("m").to_pylist() == wanted
    assert rolling(arrow, "sum", 1, by=()).column("close_sum_1").to_pylist() == [3.0, 1.0, 8.0, 2.0]
    again = rolling(rolling(arrow, "sum", 2, name="close"), "sum", 1)
    assert again.column_names == ["bucket", "symbol", "close", "close_sum_1"]
    assert rolling(arrow.slice(0, 0), "std", 3).num_rows == 0
    by_categories = arrow.to_pandas().astype({"symbol": "category"})
    assert rolling(by_categories, "mean", 2, by=["symbol"]).column("close_mean_2").to_pylist() == wanted


def test_names_of_years() -> None:
    one = volatility(table(ROWS), 2, periods_per_year=252, name="v").column("v")
    assert one == volatility(table(ROWS), 2, periods_per_year="trading days", name="v").column("v")
    assert PERIODS_PER_YEAR["trading minutes"] == 98_280


def test_what_cannot_be_computed() -> None:
    bars = table(ROWS)
    wrong: Any = "median"
    cases: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: rolling(bars, wrong, 3), InputError, "no statistic"),
        (lambda: rolling(bars, "mean", 0), InputError, "no window"),
        (lambda: rolling(bars, "mean", 2**63), InputError, "no window"),
        (lambda: rolling(bars, "mean", months(1)), InputError, "no fixed length"),
        (lambda: rolling(bars, "mean", days(200_000)), InputError, "longer than 290 years"),
        (lambda: rolling(bars, "mean", 2, least=1.5), InputError, "at least 1.5"),  # type: ignore[arg-type]  # not allowed
        (lambda: rolling(bars.append_column("close", bars.column("close")), "mean", 2), ColumnError, "there twice"),
        (lambda: rolling(bars, "mean", 2, least=3), InputError, "never in a window"),
        (lambda: rolling(bars, "mean", 2, column="open"), ColumnError, "no column 'open'"),
        (lambda: rolling(bars, "mean", 2, column="symbol"), ColumnError, "no numbers"),
        (lambda: rolling(bars, "mean", 2, time="close"), InputError, "is no time"),
        (lambda: rolling([1, 2], "mean", 2), InputError, "a list is no table"),  # type: ignore[arg-type]  # not allowed
        (lambda: returns(bars, periods=0), InputError, "0 rows before"),
        (lambda: returns(bars, periods=2**63), InputError, "rows before"),
        (lambda: returns(bars, periods=1.5), InputError, "1.5 rows before"),  # type: ignore[arg-type]  # not allowed
        (lambda: returns(bars, kind=wrong), InputError, "no kind"),
        (lambda: volatility(bars, 1, periods_per_year=252), InputError, "no standard deviation"),
        (lambda: volatility(bars, hours(1), periods_per_year="moons"), InputError, "'moons'"),
        (lambda: volatility(bars, 3, periods_per_year=math.nan), InputError, "nan"),
        (lambda: volatility(bars, 3, periods_per_year=None), InputError, "None"),  # type: ignore[arg-type]  # not allowed
    ]
    for call, error, said in cases:
        with pytest.raises(error, match=said):
            call()
    assert isinstance(bars.to_pandas(), pd.DataFrame)


def test_integers_that_no_float_is_and_times_to_the_nanosecond() -> None:
    large = [2**53 + 1, 2**54 + 2, 2**60 + 1]
    table = pa.table({"bucket": pa.array([1, 2, 3], pa.timestamp("ns", tz="UTC")), "close": large})
    assert returns(table).column("close_return").to_pylist() == [None, 1.0, 63.0]


def test_a_frame_that_is_none_and_a_key_that_is_no_list() -> None:
    frame = pd.DataFrame({"bucket": pd.to_datetime([1, 2], utc=True), "close": [1.0, "x"]})
    with pytest.raises(InputError, match="no table of typed columns"):
        returns(frame)
    with pytest.raises(InputError, match="not a list of columns"):
        returns(pa.table({"bucket": pa.array([], pa.timestamp("us"))}), by="symbol")
