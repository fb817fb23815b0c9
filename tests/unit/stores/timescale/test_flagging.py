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
)
C = _table.c
_PRICE = pa.decimal128(18, 6)
ROWS = pa.table(
    {
        "bid": pa.array([Decimal(1), Decimal(2), None, Decimal("999999999999.999999")], _PRICE),
        "ask": pa.array([Decimal(2), Decimal(1), Decimal(1), Decimal("0.000001")], _PRICE),
        "size": pa.array([0, 10, None, 4], pa.int64()),
        "venue": pa.array(["A", None, "B", "B"], pa.string()),
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
    ],
)
def test_a_flag_counts_the_rows_that_it_marks(condition: sa.ColumnElement[bool], count: int) -> None:
    hypertable = Hypertable(_table, time="time", chunk=days(1), flags=(Flag("it", condition),))
    assert flag_counts(ROWS, hypertable).get("it", 0) == count


def test_a_column_that_is_not_given_is_null() -> None:
    hypertable = Hypertable(
        _table, time="time", chunk=days(1), flags=(Flag("crossed", C.bid > C.ask), Flag("bare", C.ask.is_(None)))
    )
    assert flag_counts(ROWS.drop_columns(["ask"]), hypertable) == {"bare": 4}
    assert flag_counts(ROWS.slice(0, 0), hypertable) == {}
