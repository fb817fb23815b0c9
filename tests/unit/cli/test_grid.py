"""Answers on a terminal: at every width a row is a line, numbers are whole, and what is not shown is named."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len

from storekeeper.cli.grid import Grid, cut_to, grid, printable

START = datetime(2016, 10, 7, 23, 50, tzinfo=UTC)
BARS = ("bucket", "symbol", "open", "high", "low", "close", "volume", "vwap", "count")


def bar(place: int, symbol: str = "BTCUSD@coinbase") -> tuple[Any, ...]:
    price = Decimal("610.553896") + place
    prices = [price + Decimal(step) / 8 for step in range(4)]
    return (
        START + timedelta(minutes=5 * place),
        symbol,
        *prices,
        Decimal("123456.78") * place,
        Decimal("0.123456789012") + place,
        5,
    )


def all_lines(made: Grid) -> list[str]:
    return [*made.above, made.header, made.rule, *made.rows]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_bars_at_the_widths_of_terminals(width: int) -> None:
    made = grid(BARS, [bar(place) for place in range(12)], width)
    lines = all_lines(made)
    assert all(cell_len(line) <= width for line in lines), lines
    assert len(made.rows) == 12
    assert not any("…" in line for line in lines)
    if width == 140:
        assert made.header.split() == list(BARS)
        assert made.rows[0].split()[3:5] == ["610.553896", "610.678896"]
        assert made.notes == ()
    else:
        assert made.above == ("symbol: BTCUSD@coinbase", "count: 5")
        assert made.header.split() == [name for name in BARS if name not in ("symbol", "count")]
        assert (made.notes == ()) == (width == 100)
    if width == 80:
        assert made.rows[0].split()[2:4] == ["610.554", "610.679"]
        assert "numbers rounded" in made.notes[0]


def test_numbers_stand_to_the_right_their_points_below_one_another() -> None:
    made = grid(("n", "x"), [(1, Decimal("10.5")), (22, Decimal("0.125")), (None, Decimal("1E+3"))], 80)
    assert [line.rstrip() for line in (made.header, *made.rows)] == [
        " n         x",
        " 1    10.500",
        "22     0.125",
        "    1000.000",
    ]


@pytest.mark.parametrize("width", [40, 60])
def test_long_texts_are_cut_and_numbers_are_not(width: int) -> None:
    rows = [(Decimal("7.123456") * place, f"message {place} " + "x" * 200, '{"a": 1}') for place in range(3)]
    made = grid(("price", "message", "metadata"), rows, width)
    assert all(cell_len(line) <= width for line in all_lines(made))
    assert [line.split()[0] for line in made.rows] == ["0.000000", "7.123456", "14.246912"]
    assert sum("…" in line for line in made.rows) == 3


def test_columns_that_do_not_fit_are_left_out_and_named() -> None:
    columns = tuple(f"column_{place}" for place in range(9))
    rows = [tuple(10**9 + place * row for place in range(1, 10)) for row in (1, 2)]
    made = grid(columns, rows, 60)
    assert made.header.split() == list(columns[:5])
    assert made.notes == ("too narrow for column_5, column_6, column_7, column_8: --columns chooses",)
    assert made.rows[0].split() == [str(number) for number in rows[0][:5]]


def test_one_row_that_does_not_fit_is_a_list() -> None:
    made = grid(BARS, [bar(0)], 60)
    assert (made.header, made.above) == ("", ())
    assert [line.split()[0] for line in made.rows] == list(BARS)
    assert made.rows[2] == "open    610.553896"


def test_empty_columns_are_named_once() -> None:
    rows = [("u1@example.org", None, None, f"note {place} " + "x" * 30) for place in range(2)]
    made = grid(("email", "phone", "avatar_url", "note"), rows, 60)
    assert made.above == ("email: u1@example.org", "empty: phone, avatar_url")


@pytest.mark.parametrize(
    ("moments", "shown"),
    [
        ([START.replace(hour=0, minute=0)], ["2016-10-07"]),
        ([START, START + timedelta(seconds=1)], ["2016-10-07 23:50:00", "2016-10-07 23:50:01"]),
        ([START + timedelta(milliseconds=2)], ["2016-10-07 23:50:00.002"]),
        ([START, START + timedelta(microseconds=2)], ["2016-10-07 23:50:00.000000", "2016-10-07 23:50:00.000002"]),
        ([START], ["2016-10-07 23:50"]),
    ],
)
def test_times_leave_nothing_out(moments: list[datetime], shown: list[str]) -> None:
    assert list(grid(("time",), [(moment,) for moment in moments], 80).rows) == shown


def test_what_would_move_the_cursor_is_shown_instead() -> None:
    assert printable("a\nb\r\nc\td\x1b[31m\u202e") == "a↵b↵c d\\x1b[31m\\x202e"
    assert printable("日本 Łódź") == "日本 Łódź"
    assert cut_to("日本語です", 7) == "日本語…"
    (row,) = grid(("m", "n"), [("日本\x1b[2J", 1)], 80).rows
    assert row == "日本\\x1b[2J  1"


CELLS = st.one_of(
    st.none(),
    st.integers(-(10**12), 10**12),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9),
    st.text(max_size=60),
    st.booleans(),
    st.datetimes(timezones=st.just(UTC)),
)


@given(st.data(), st.integers(1, 6), st.integers(2, 5), st.integers(40, 140))
def test_no_line_is_wider_than_the_terminal(data: st.DataObject, columns: int, rows: int, width: int) -> None:
    kinds = data.draw(
        st.lists(
            st.sampled_from([st.integers(-(10**9), 10**9), st.text(max_size=80), st.booleans()]),
            min_size=columns,
            max_size=columns,
        )
    )
    values = [tuple(data.draw(st.none() | kind) for kind in kinds) for _ in range(rows)]
    made = grid([f"c{place}" for place in range(columns)], values, width)
    for line in all_lines(made):
        assert cell_len(line) <= width
        assert not re.search(r"[\x00-\x1f\x7f]", line)


@given(st.lists(CELLS, min_size=1, max_size=4))
def test_any_values_are_shown_whole_where_there_is_room(row: list[Any]) -> None:
    (line,) = grid([f"c{place}" for place in range(len(row))], [row], 10_000).rows
    for value in row:
        if isinstance(value, int) and not isinstance(value, bool):
            assert str(value) in line
        if isinstance(value, Decimal):
            assert f"{value.normalize():f}" in line
