"""Statements as text: quoting, parameters, choice of engine and of level."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from storekeeper.errors import ColumnError, InputError
from storekeeper.ledger.locks import NAMESPACE, lock_key
from storekeeper.span import Span, days, hours, minutes, months, weeks
from storekeeper.timescale.calendars import fills
from storekeeper.timescale.capture import NOTE_CHANGES, lock_series
from storekeeper.timescale.conditions import Condition, among, keyed, negated, since, within_any
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import literal, qualified, quoted, verbatim
from storekeeper.timescale.routing import level_for
from storekeeper.timescale.shapes import shape_of
from storekeeper.timescale.statement import Statement
from timescale_series import CANDLES, READINGS, TICKS, moment


def test_names_are_quoted_where_they_need_it() -> None:
    assert (quoted("symbol"), quoted("Readings"), quoted('a"b')) == ("symbol", '"Readings"', '"a""b"')
    assert qualified("lab", "Readings") == 'lab."Readings"'


@pytest.mark.parametrize("text", ["it's", ":name", "12:30:00", "a::b", "x :y :z", "\\"])
def test_literals_hold_no_parameters(text: str) -> None:
    clause = Statement(f"SELECT {literal(text)}").clause()
    assert not clause.compile().params
    assert str(clause) == "SELECT '" + text.replace("'", "''") + "'"


def test_text_of_functions_survives() -> None:
    assert str(sa.text(verbatim(NOTE_CHANGES))) == NOTE_CHANGES


def test_the_capture_takes_the_ledgers_locks() -> None:
    assert f"pg_advisory_xact_lock_shared({NAMESPACE}, " in NOTE_CHANGES
    assert f"pg_advisory_xact_lock({NAMESPACE}, " in lock_series("lab.ticks").sql
    assert lock_key("series", "lab.ticks") == lock_key("series", "lab.ticks") != lock_key("series", "lab.ticks_1h")
    assert -(2**31) <= lock_key("refresh") < 2**31


def test_parameters_are_bound() -> None:
    statement = Statement("SELECT :one", {"one": 1})
    assert statement.clause().compile().params == {"one": 1}


@pytest.mark.parametrize(
    ("finer", "every", "answer"),
    [
        (minutes(5), hours(1), True),
        (minutes(5), minutes(7), False),
        (hours(1), minutes(5), False),
        (hours(5), days(1), False),
        (days(1), months(1), True),
        (weeks(1), months(1), False),
        (months(1), months(12), True),
        (months(2), months(3), False),
        (months(1), days(30), False),
    ],
)
def test_buckets_that_fill_others(finer: Span, every: Span, answer: bool) -> None:
    assert fills(finer, every) is answer


@pytest.mark.parametrize(
    ("every", "depth"), [(minutes(1), 0), (minutes(5), 1), (minutes(30), 1), (hours(1), 2), (months(1), 2)]
)
def test_the_coarsest_level_that_fits_answers(every: Span, depth: int) -> None:
    assert level_for(TICKS, every) == Level(TICKS, depth)


def test_the_shape_of_bars() -> None:
    assert shape_of(CANDLES).by == ("symbol",)
    assert shape_of(CANDLES).average is None
    assert shape_of(TICKS).average is not None
    with pytest.raises(InputError):
        shape_of(READINGS)


def test_conditions() -> None:
    lower, upper = moment("2014-05-07"), moment("2014-05-08")
    assert since("time", None, None, "t").sql == "true"
    both = since("time", lower, upper, "t")
    assert (both.sql, both.parameters) == ("time >= :t_lower AND time < :t_upper", {"t_lower": lower, "t_upper": upper})
    assert (Condition() & both) == both == (both & Condition())
    assert negated(Condition()).sql == "false"
    assert within_any("time", [], "w").sql == "false"
    assert negated(within_any("time", [], "w")).sql == "true"


def test_conditions_on_keys() -> None:
    one = keyed(TICKS.table, ("symbol",), ["A", "B"], operation="read", target="lab.ticks")
    assert one.sql == "symbol = ANY(CAST(CAST(:key0 AS text[]) AS text[]))"
    two = keyed(READINGS.table, ("station", "kind"), [("x", 1)], operation="read", target="lab.Readings")
    assert two.parameters == {"key0": ["x"], "key1": ["1"]}
    with pytest.raises(InputError):
        keyed(READINGS.table, ("station", "kind"), ["x"], operation="read", target="lab.Readings")
    with pytest.raises(ColumnError):
        among(TICKS.table, {"nonsense": [1]}, operation="read", target="lab.ticks")


def test_lists_and_documents_are_not_compared_with_values() -> None:
    """The server would say that there is no such operator, which is also said of what is not migrated."""
    table = sa.Table(
        "lists",
        sa.MetaData(),
        sa.Column("tags", sa.ARRAY(sa.Text)),
        sa.Column("text", sa.JSON),
        sa.Column("doc", JSONB),
    )
    for column in ("tags", "text"):
        with pytest.raises(InputError, match=f"{column} holds lists or documents") as caught:
            among(table, {column: ["a"]}, operation="read", target="lab.lists")
        assert str(caught.value).startswith("read lab.lists: ")
    assert "jsonb" in among(table, {"doc": ["{}"]}, operation="read", target="lab.lists").sql.lower()
