"""Quality rules as vectors."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
import sqlalchemy as sa

from storekeeper.catalog import Flag, Hypertable
from storekeeper.span import days
from storekeeper.stores.timescale.flagging import flag_counts

_table = sa.Table(
    "ticks",
    sa.MetaData(schema="lab"),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("bid", sa.Numeric(18, 6)),
    sa.Column("ask", sa.Numeric(18, 6)),
    sa.Column("size", sa.BigInteger),
    sa.Column("venue", sa.Text),
    sa.Column("yield", sa.Float),
    sa.Column("hope", sa.Float),
    sa.Column("wide", sa.Numeric(38, 10)),
)
C = _table.c
_PRICE = pa.decimal128(18, 6)
ROWS = pa.table(
    {
        "bid": pa.array([Decimal(1), Decimal(2), None, Decimal("999999999999.999999")], _PRICE),
        "ask": pa.array([Decimal(2), Decimal(1), Decimal(1), Decimal("0.000001")], _PRICE),
        "size": pa.array([0, 10, None, 4], pa.int64()),
        "venue": pa.array(["A", None, "B", "B"], pa.string()),
        "yield": pa.array([1.5, float("nan"), float("nan"), None], pa.float64()),
        "hope": pa.array([float("nan"), 2.0, float("nan"), float("nan")], pa.float64()),
        "wide": pa.array([Decimal(1), Decimal(2), Decimal(3), None], pa.decimal128(38, 10)),
    }
)


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        (C.bid > C.ask, 2),
        (sa.not_(C.bid > C.ask), 1),  # of NULL nothing is known
        (sa.or_(C.bid > C.ask, C.size.is_(None)), 3),
        (sa.and_(C.bid > C.ask, C.venue == "B"), 1),
        (C.bid.is_not(None), 3),
        (C.bid - C.ask > Decimal("0.5"), 2),
        (C.bid * C.ask >= 2, 3),
        (C.bid > 1.5 * C.ask, 2),
        (C.bid / C.size > 0.15, 2),  # by zero and by NULL: nothing is known
        (C.size.between(1, 5), 1),
        (C.venue != "A", 2),
        (C["yield"] > C.hope, 1),  # NaN is greater than every number, as the server has it
        (C["yield"] >= C.hope, 2),
        (C["yield"] < C.hope, 1),
        (C["yield"] <= C.hope, 2),
        (C["yield"] == C.hope, 1),  # and equal to itself
        (C["yield"] != C.hope, 2),
        (C.bid > C.hope, 0),
        (C.bid < C["yield"], 2),
        (C.size + C["yield"] > 1, 2),
        (C.wide * C.wide >= 4, 2),  # of so many digits that the product of any two of the type has no room
    ],
)
def test_a_flag_counts_the_rows_that_it_marks(condition: sa.ColumnElement[bool], count: int) -> None:
    hypertable = Hypertable(_table, time="time", chunk=days(1), flags=(Flag("it", condition),))
    assert flag_counts(ROWS, hypertable).get("it", 0) == count


def test_an_integer_that_no_double_holds_is_compared_with_one_as_the_server_does() -> None:
    hypertable = Hypertable(_table, time="time", chunk=days(1), flags=(Flag("it", C.size > C.hope),))
    rows = pa.table({"size": pa.array([2**53 + 1], pa.int64()), "hope": pa.array([1.0])})
    assert flag_counts(rows, hypertable) == {"it": 1}


def test_a_column_that_is_not_given_is_null() -> None:
    hypertable = Hypertable(
        _table, time="time", chunk=days(1), flags=(Flag("crossed", C.bid - C.ask > 0), Flag("bare", C.ask.is_(None)))
    )
    assert flag_counts(ROWS.drop_columns(["ask"]), hypertable) == {"bare": 4}
    assert flag_counts(ROWS.slice(0, 0), hypertable) == {}
