"""Intake takes rows in every form they come in, changes nothing, and names what does not fit."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given, strategies as st
from sqlalchemy.dialects.postgresql import JSONB

from storekeeper.errors import ColumnError, InputError, NaiveTimeError, ValueFitError
from storekeeper.stores.sql.intake import Intake, Rows, to_batches

METADATA = sa.MetaData(schema="invest")
PRICES = sa.Table(
    "prices",
    METADATA,
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("symbol", sa.String(8), nullable=False),
    sa.Column("price", sa.Numeric(18, 6), nullable=False),
    sa.Column("volume", sa.BigInteger),
)
KINDS = sa.Table(
    "kinds",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True, server_default=sa.text("gen_random_uuid()")),
    sa.Column("amount", sa.Numeric(15, 2)),
    sa.Column("weight", sa.Double),
    sa.Column("small", sa.SmallInteger),
    sa.Column("flag", sa.Boolean),
    sa.Column("day", sa.Date),
    sa.Column("note", sa.Text),
    sa.Column("details", JSONB),
    sa.Column("raw", sa.LargeBinary),
    sa.Column("any_size", sa.Numeric),
    sa.Column("doubled", sa.Numeric(16, 2), sa.Computed("amount * 2")),
)
ROW = {"time": "2014-05-01T05:00:01.787Z", "symbol": "EURUSD", "price": 1.38727, "volume": 3}
MOMENT = datetime(2014, 5, 1, 5, 0, 1, 787_000, tzinfo=UTC)


def take(rows: Rows, table: sa.Table = PRICES, **options: Any) -> Intake:
    return to_batches(rows, table, operation="append", target="invest.prices", **options)


def taken(rows: Rows, table: sa.Table = PRICES, **options: Any) -> list[dict[str, Any]]:
    return take(rows, table, **options).table.to_pylist()


def one(column: str, value: object) -> object:
    """A value of KINDS as it is taken."""
    return taken([{column: value}], KINDS)[0][column]


class Stream:
    """A frame of another library, as Arrow's C interface shows it."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)  # type: ignore[no-untyped-call]  # the stubs leave it


FRAME = pd.DataFrame(
    {
        "time": pd.to_datetime(["2014-05-01T05:00:01.787Z"] * 2),
        "symbol": ["EURUSD", "É"],
        "price": [1.38727, 0.1],
        "volume": [3.0, np.nan],
    }
)
ARROW = pa.table(
    {
        "volume": pa.array([3, None]),
        "time": pa.array([MOMENT, MOMENT], pa.timestamp("ns", tz="America/New_York")),
        "symbol": pa.array(["EURUSD", "É"]).dictionary_encode(),
        "price": pa.array([1.38727, 0.1]),
    }
)
FORMS: dict[str, Rows] = {
    "dicts": [ROW, {"time": MOMENT.astimezone(timezone(timedelta(hours=5))), "symbol": "É", "price": Decimal("0.1")}],
    "a generator": (row for row in [ROW, {**ROW, "symbol": "É", "price": "0.10", "volume": None}]),
    "pandas": FRAME,
    "pandas objects": FRAME.astype(object),
    "pandas arrow": FRAME.convert_dtypes(dtype_backend="pyarrow"),
    "pandas nullable": FRAME.convert_dtypes(),
    "pandas categories": FRAME.astype({"symbol": "category"}),
    "an Arrow table": ARROW,
    "an Arrow batch": ARROW.combine_chunks().to_batches()[0],
    "an Arrow reader": ARROW.to_reader(),
    "large strings": Stream(ARROW.set_column(2, "symbol", pa.array(["EURUSD", "É"], pa.large_string()))),
    "string views": Stream(ARROW.set_column(2, "symbol", pa.array(["EURUSD", "É"], pa.string_view()))),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_rows_becomes_the_same_table(form: str) -> None:
    intake = take(FORMS[form])
    assert intake.table.schema.names == ["time", "symbol", "price", "volume"]
    types = [pa.timestamp("us", tz="UTC"), pa.string(), pa.decimal128(18, 6), pa.int64()]
    assert intake.table.schema.types == types
    assert intake.table.to_pylist() == [
        {"time": MOMENT, "symbol": "EURUSD", "price": Decimal("1.387270"), "volume": 3},
        {"time": MOMENT, "symbol": "É", "price": Decimal("0.100000"), "volume": None},
    ]
    assert intake.rounded == {}


def test_only_columns_that_are_given_are_taken_in_the_tables_order() -> None:
    assert take([{"price": 1, "symbol": "A", "time": MOMENT}]).table.column_names == ["time", "symbol", "price"]


def test_no_rows_are_taken_as_none() -> None:
    assert take([]).table.num_rows == 0
    assert take(FRAME.head(0)).table.num_rows == 0
    assert take([], KINDS).table.column_names == [c.name for c in KINDS.columns if c.name != "doubled"]


# Columns


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"time": MOMENT, "price": 1}], "column symbol is missing"),
        ([{**ROW, "symbl": "A"}], "no column symbl"),
        (FRAME.set_axis(["time", "symbol", "price", "price"], axis=1), "column price stands twice"),
        (FRAME.set_index("time"), r"column time is in the index of the frame, which is not read\nHINT: .*reset_index"),
        (FRAME.assign(volume=1).set_index(["symbol", "volume"]), "column symbol, volume is in the index"),
    ],
)
def test_columns_that_are_missing_unknown_or_double(rows: Rows, says: str) -> None:
    with pytest.raises(ColumnError, match=says):
        take(rows)


def test_what_the_server_computes_or_fills_in() -> None:
    with pytest.raises(ColumnError, match="doubled is computed by the server"):
        take([{"doubled": 1}], KINDS)
    assert taken([{"note": "a"}], KINDS) == [{"note": "a"}]  # the id has a default


@pytest.mark.parametrize(
    "rows",
    [
        "time,symbol",
        {"time": [MOMENT]},
        5,
        [("a", 1)],
        pd.Series([1]),
        pl.Series([1]),
        pl.DataFrame({"volume": pl.Series([1], dtype=pl.Int128)}),
    ],
)
def test_what_holds_no_rows(rows: Any) -> None:
    with pytest.raises(InputError) as caught:
        take(rows)
    assert caught.value.hint or "Arrow's types" in caught.value.cause


# Values: (column, value, what the error says)

MISFITS = [
    ("amount", 0.1 + 0.2, "'0.30000000000000004' has more decimals than NUMERIC(15,2) holds"),
    ("amount", Decimal("1e-3"), "has more decimals"),
    ("amount", 10**13, "is too large for NUMERIC(15,2)"),
    ("amount", Decimal("1e999"), "is too large"),
    ("amount", float("nan"), "is no finite number"),
    ("amount", float("-inf"), "is no finite number"),
    ("amount", Decimal("NaN"), "is no finite number"),
    ("amount", "NaN", "is no finite number"),
    ("amount", "1_000", "is not a number"),
    ("amount", " 1", "is not a number"),
    ("amount", "0x1F", "is not a number"),
    ("amount", "", "is not a number"),
    ("amount", True, "is bool, not a number"),
    ("amount", MOMENT, "is datetime, not a number"),
    ("small", 2**15, "is too large for SMALLINT"),
    ("small", 1.5, "is not a whole number"),
    ("small", float("nan"), "is no finite number"),
    ("weight", "abc", "is not a number"),
    ("weight", 10**400, "is too large for DOUBLE PRECISION"),
    ("weight", "-1e400", "is too large for DOUBLE PRECISION"),
    ("weight", Decimal("1e400"), "is too large for DOUBLE PRECISION"),
    ("flag", 1, "is int, not a boolean"),
    ("day", MOMENT, "is datetime, not a date"),
    ("day", "2014-02-30", "is no date"),
    ("note", 5, "is int, not text"),
    ("note", "a\0b", "NUL byte"),
    ("note", "\ud800", "surrogate"),
    ("details", "{", "is no JSON"),
    ("details", {"a": float("nan")}, "is no JSON"),
    ("details", "[NaN]", "is no JSON"),
    ("details", {1, 2}, "is no JSON"),
    ("details", '"\\u0000"', "cannot hold"),
    ("id", "1234", "is no UUID"),
    ("id", b"123", "not a UUID"),
    ("raw", "text", "is str, not bytes"),
]


@pytest.mark.parametrize(("column", "value", "says"), MISFITS)
def test_a_value_that_does_not_fit_is_named_with_its_row(column: str, value: object, says: str) -> None:
    with pytest.raises(ValueFitError) as caught:
        take([{column: None}, {column: value}, {column: value}], KINDS, first_row=10)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"append invest.prices: row 11, column {column}: ")
    assert (caught.value.row, caught.value.column) == (11, column)


@pytest.mark.parametrize("form", [lambda rows: rows, pd.DataFrame, lambda rows: pa.Table.from_pylist(rows)])
@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"symbol": "ÉÉÉÉÉÉÉÉÉ"}, ValueFitError, "has 9 characters, VARCHAR(8) holds 8"),
        ({"symbol": "a\0"}, ValueFitError, "NUL byte"),
        ({"symbol": None}, ValueFitError, "is missing: the column is NOT NULL"),
        ({"price": 0.1234567}, ValueFitError, "has more decimals"),
        ({"price": 1e12}, ValueFitError, "is too large for NUMERIC(18,6)"),
        ({"price": float("inf")}, ValueFitError, "is no finite number"),
        ({"volume": 1e19}, ValueFitError, "is too large for BIGINT"),
        ({"time": "2014-05-01T05:00:01"}, NaiveTimeError, "has no time zone"),
        ({"time": "2014-05-01"}, NaiveTimeError, "has no time zone"),
        ({"time": "2014-05-01T05:00:01.0000001Z"}, ValueFitError, "finer than a microsecond"),
        ({"time": "yesterday"}, ValueFitError, "is no time"),
    ],
)
def test_every_form_is_checked_alike(form: Any, wrong: dict[str, object], error: type[InputError], says: str) -> None:
    with pytest.raises(error) as caught:
        take(form([ROW, {**ROW, **wrong}]))
    assert says in str(caught.value)
    assert f"row 1, column {next(iter(wrong))}: " in str(caught.value)


@pytest.mark.parametrize(
    "rows",
    [
        [{**ROW, "time": MOMENT.replace(tzinfo=None)}],
        [{**ROW, "time": np.datetime64("2014-05-01")}],
        [{**ROW, "time": date(2014, 5, 1)}],
        FRAME.assign(time=FRAME["time"].dt.tz_localize(None)),
        ARROW.set_column(1, "time", pa.array([date(2014, 5, 1)] * 2)),
    ],
)
def test_a_naive_time_is_never_taken_for_utc(rows: Rows) -> None:
    with pytest.raises(NaiveTimeError, match="row 0, column time: "):
        take(rows)


@pytest.mark.parametrize("column", ["time", "price"])
def test_a_period_is_neither_a_time_nor_a_number(column: str) -> None:
    frame = FRAME.assign(**{column: pd.period_range("2014-05-01", periods=len(FRAME), freq="D")})
    for rows in (frame, pa.Table.from_pandas(frame)):
        with pytest.raises(ValueFitError, match=f"row 0, column {column}: 16191 is the number of a pandas period"):
            take(rows)


def test_a_missing_time_of_pandas_is_not_called_naive() -> None:
    with pytest.raises(ValueFitError, match="row 0, column time: NaT is not a time"):
        take([{**ROW, "time": pd.NaT}])


def test_a_time_finer_than_a_microsecond_is_not_cut() -> None:
    finer = FRAME.assign(time=FRAME["time"].astype("datetime64[ns, UTC]") + pd.Timedelta(1, "ns"))
    for rows in (finer, finer.astype(object)):
        with pytest.raises(ValueFitError, match="finer than a microsecond"):
            take(rows)


@pytest.mark.parametrize("ticks", [-(2**62), 2**62, -62_135_596_800_000_001, 253_402_300_800_000_000])
def test_a_time_outside_of_the_years_that_can_be_written(ticks: int) -> None:
    times = pa.array([0, ticks]).view(pa.timestamp("us", tz="UTC"))
    with pytest.raises(ValueFitError, match=r"row 1, column time: .* is outside of the years 1 to 9999"):
        take(pa.table({"time": times, "symbol": ["A", "A"], "price": [1, 1]}))


def test_the_years_that_can_be_written() -> None:
    ends = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
    assert [row["time"].isoformat() for row in taken([{**ROW, "time": end} for end in ends])] == [
        "0001-01-01T00:00:00+00:00",
        "9999-12-31T23:59:59.999999+00:00",
    ]
    beyond = [
        "0000-12-31T23:59:59Z",
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
    ]
    for time in beyond:
        with pytest.raises(ValueFitError, match=r"row 1, column time: .* is outside of the years"):
            take([ROW, {**ROW, "time": time}])
    for unit in ("s", "ms"):
        times = pa.array([0, 2**60], pa.timestamp(unit, tz="UTC"))
        with pytest.raises(ValueFitError, match=r"row 1, column time: .* is outside of the years"):
            take(pa.table({"time": times, "symbol": ["A", "A"], "price": [1, 1]}))


def test_missing_values_of_pandas_are_null_and_refused_where_there_must_be_one() -> None:
    frame = pd.DataFrame({"amount": [1.5, np.nan], "note": ["a", None], "day": [date(2014, 5, 1), pd.NaT]})
    for rows in (frame, frame.astype(object)):
        assert taken(rows, KINDS)[1] == {"amount": None, "note": None, "day": None}
    with pytest.raises(ValueFitError, match=r"row 1, column price: a value is missing"):
        take(FRAME.assign(price=[1.0, np.nan]))


def test_rows_count_across_chunks_of_a_column() -> None:
    chunks: Any = pa.chunked_array([pa.array([1.5, 2.5]), pa.array([], pa.float64()), pa.array([3.5, 0.001])])
    with pytest.raises(ValueFitError, match="row 3, column amount"):
        take(pa.table({"amount": chunks}), KINDS)


def test_locate_words_the_place_of_a_row() -> None:
    with pytest.raises(ValueFitError, match="line 7, column amount"):
        take([{"amount": "x"}], KINDS, first_row=5, locate=lambda row: f"line {row + 2}")


def test_values_of_every_kind() -> None:
    identity = uuid.uuid4()
    assert one("id", identity) == identity.bytes
    assert one("id", str(identity)) == one("id", identity.hex) == identity.bytes
    assert one("amount", np.float32(0.5)) == Decimal("0.50")
    assert one("amount", "+1.5e3") == Decimal("1500.00")
    assert one("amount", "1." + "0" * 60) == Decimal("1.00")
    assert one("small", "12.0") == 12
    assert one("weight", Decimal("0.1")) == 0.1
    assert one("weight", "1e3") == 1000.0
    assert np.isnan(one("weight", float("nan")))  # type: ignore[call-overload]  # a cell of any type
    assert one("day", "2014-05-01") == date(2014, 5, 1)
    assert one("details", {"a": ["é", 1]}) == '{"a": ["é", 1]}'
    assert one("raw", b"\0") == b"\0"
    assert one("note", "") == ""
    assert [row["flag"] for row in taken(pa.table({"flag": ["t", "FALSE", None]}), KINDS)] == [True, False, None]
    nested = pa.table({"details": [{"a": 1}, None]})
    assert [row["details"] for row in taken(nested, KINDS)] == ['{"a": 1}', None]
    ids = pa.table({"id": pa.array([str(identity), identity.hex])})
    assert [row["id"] for row in taken(ids, KINDS)] == [identity.bytes] * 2


def test_words_of_polars_and_decimals_of_tens() -> None:
    words = pl.DataFrame({"note": ["b", None, "a"]})
    for kind in (pl.Categorical(), pl.Enum(["a", "b"])):
        given = words.with_columns(pl.col("note").cast(kind))
        assert [row["note"] for row in taken(given, KINDS)] == ["b", None, "a"]
    tens = pa.array([Decimal(1200), None], pa.decimal128(5, -2))
    assert taken(pa.table({"amount": tens, "small": tens, "any_size": tens}), KINDS) == [
        {"amount": Decimal("1200.00"), "small": 1200, "any_size": Decimal(1200)},
        {"amount": None, "small": None, "any_size": None},
    ]


def test_infinities_are_floats() -> None:
    assert [one("weight", value) for value in (float("inf"), "-Infinity")] == [float("inf"), -float("inf")]
    floats = pa.table({"weight": pa.array([float("inf"), 1.5], pa.float32())})
    assert [row["weight"] for row in taken(floats, KINDS)] == [float("inf"), 1.5]


def test_an_unbounded_numeric_keeps_what_it_is_given() -> None:
    values = [Decimal("1.5"), Decimal("-123456789012345678.000000001"), None, Decimal("1e5")]
    assert [row["any_size"] for row in taken([{"any_size": value} for value in values], KINDS)] == values


# Rounding


def test_only_named_columns_are_rounded_half_to_even_and_counted() -> None:
    rows = [{**ROW, "price": text} for text in ("1.0000005", "1.0000015", "-1.00000051", "2.5", "1e-400")]
    expected = [Decimal(text) for text in ("1.000000", "1.000002", "-1.000001", "2.500000", "0.000000")]
    for given_rows in (rows, pa.Table.from_pylist(rows), rows[:-1]):  # the last is too small for Arrow's own rounding
        intake = take(given_rows, round_to={"price": 6})
        assert intake.table["price"].to_pylist() == expected[: len(given_rows)]
        assert intake.rounded == {"price": len(given_rows) - 1}
        with pytest.raises(ValueFitError, match="row 0, column price"):
            take(given_rows, round_to={})


def test_rounding_to_fewer_places_than_the_column_holds() -> None:
    intake = take([{**ROW, "price": price} for price in (1.38727, 1.5)], round_to={"price": 2})
    assert intake.table["price"].to_pylist() == [Decimal("1.390000"), Decimal("1.500000")]
    assert intake.rounded == {"price": 1}


@pytest.mark.parametrize("round_to", [{"price": 7}, {"price": -1}, {"symbol": 2}, {"nothing": 2}])
def test_what_cannot_be_rounded(round_to: dict[str, int]) -> None:
    with pytest.raises(InputError, match="rounded"):
        take([ROW], round_to=round_to)


def test_rounding_does_not_let_in_what_is_no_number() -> None:
    with pytest.raises(ValueFitError, match="no finite number"):
        take([{**ROW, "price": float("nan")}], round_to={"price": 2})
    with pytest.raises(ValueFitError, match="too large"):
        take([{**ROW, "price": "999999999999.9999999"}], round_to={"price": 6})


@pytest.mark.parametrize(
    ("prices", "numeric"),
    [
        (pa.array(["1e-45"]), sa.Numeric(18, 6)),
        (pa.array(["1.0009250344747593e-219"]), sa.Numeric(18, 6)),
        (pa.array([f"0.{44 * '0'}1"]), sa.Numeric(18, 6)),
        (pa.array(["75017703750566180006.000880E9"]), sa.Numeric(38, 10)),
        (pa.array([Decimal(73072214366846010915636687137)]), sa.Numeric(38, 10)),
    ],
)
def test_what_arrow_would_change_without_a_word_is_refused(prices: pa.Array[Any], numeric: sa.Numeric[Decimal]) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("price", numeric))
    with pytest.raises(ValueFitError, match="row 0, column price"):
        to_batches(pa.table({"price": prices}), table, operation="append", target="t")


# The rule of floats: the decimal of the shortest text, or an error


def fits(value: float) -> bool:
    exact = Decimal(repr(value))
    return exact == round(exact, 6) and abs(exact) < 10**12


@given(st.lists(st.one_of(st.floats(-1e13, 1e13), st.decimals(-(10**12), 10**12, places=6).map(float)), min_size=1))
def test_a_float_is_the_decimal_of_its_shortest_text(values: list[float]) -> None:
    table = pa.table({"time": [MOMENT] * len(values), "symbol": ["A"] * len(values), "price": values})
    if all(map(fits, values)):
        assert take(table).table["price"].to_pylist() == [Decimal(repr(value)) for value in values]
    else:
        with pytest.raises(ValueFitError) as caught:
            take(table)
        assert caught.value.row == next(row for row, value in enumerate(values) if not fits(value))


@given(st.lists(st.decimals(-(10**12), 10**12, places=6, allow_nan=False), min_size=1))
def test_texts_and_decimals_stay_what_they_are(values: Iterable[Decimal]) -> None:
    fitting = [value for value in values if abs(value) < 10**12]
    for form in (fitting, list(map(str, fitting))):
        rows = [{**ROW, "price": value} for value in form]
        assert [row["price"] for row in taken(rows)] == fitting
