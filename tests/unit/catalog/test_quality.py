"""Quality rules: what can be declared."""

from __future__ import annotations

from datetime import datetime

import pytest
import sqlalchemy as sa

from storekeeper.catalog import Flag, Hypertable
from storekeeper.catalog.quality import Column, Constant, Operation
from storekeeper.errors import DeclarationError
from storekeeper.span import days

_table = sa.Table(
    "ticks",
    sa.MetaData(schema="lab"),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("bid", sa.Numeric(18, 6)),
    sa.Column("ask", sa.Numeric(18, 6)),
)
BID, ASK = _table.c.bid, _table.c.ask


def test_a_condition_becomes_a_tree_of_plain_values() -> None:
    term = Flag("wide", sa.and_(ASK - BID > 0.5 * BID, ~BID.is_(None))).term
    assert isinstance(term, Operation)
    assert term.operator == "AND"
    compared, given = term.terms
    assert isinstance(compared, Operation)
    assert compared.operator == ">"
    assert given == Operation("IS NOT NULL", (Column("bid"),))
    assert str(compared.terms[1]) == str(Operation("*", (Constant(compared.terms[1].terms[0].value), Column("bid"))))  # type: ignore[union-attr]  # a product has terms


def test_between_is_two_comparisons() -> None:
    term = Flag("dear", BID.between(1, 2)).term
    low, high = Operation(">=", (Column("bid"), Constant(1))), Operation("<=", (Column("bid"), Constant(2)))
    assert term == Operation("AND", (low, high))


@pytest.mark.parametrize(
    "condition",
    [
        sa.func.abs(BID) > 1,
        BID + ASK,
        BID.in_([1, 2]),
        float("nan") < BID,
        _table.c.time > datetime(2014, 5, 7),  # noqa: DTZ001  # that is the point
    ],
)
def test_what_is_not_known_is_refused_when_it_is_declared(condition: sa.ColumnElement[bool]) -> None:
    with pytest.raises(DeclarationError):
        Flag("odd", condition)


def test_a_flag_is_of_its_own_table_and_has_a_name_of_its_own() -> None:
    other = sa.Table("other", sa.MetaData(), sa.Column("size", sa.Integer))
    with pytest.raises(DeclarationError, match="no column size"):
        Hypertable(_table, time="time", chunk=days(1), flags=(Flag("large", other.c.size > 1),))
    with pytest.raises(DeclarationError, match="one name"):
        Hypertable(_table, time="time", chunk=days(1), flags=(Flag("a", BID > 1), Flag("a", ASK > 1)))
    with pytest.raises(DeclarationError):
        Flag("not a name", BID > 1)
