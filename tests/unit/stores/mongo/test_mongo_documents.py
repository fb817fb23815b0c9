"""Documents and filters, before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from store_models import LOGS, Forecast, Log, Range, Side
from storekeeper.errors import ColumnError, InputError, NaiveTimeError, ValueFitError
from storekeeper.stores.mongo.documents import to_documents, to_filter

NOON = datetime(2014, 6, 1, 12, tzinfo=UTC)
GOOD: dict[str, Any] = {"timestamp": NOON, "level": "info", "service": "auth", "message": "in"}


def test_a_document_goes_by_alias_and_leaves_none_out() -> None:
    user = UUID(int=7)
    log = Log(
        timestamp=NOON, level="warn", service="auth", message="m", user_id=user, metadata={"a": None, "b": (1, 2)}
    )
    assert to_documents([log], Log, target="logs") == [
        {
            "timestamp": NOON,
            "level": "warn",
            "service": "auth",
            "message": "m",
            "userId": user,
            "metadata": {"a": None, "b": [1, 2]},
        }
    ]


def test_times_go_to_utc_enumerations_to_their_values_and_decimals_stay_exact() -> None:
    tokyo = timezone(timedelta(hours=9))
    forecast = Forecast(
        symbol="ABC", made_at=datetime(2014, 6, 1, 21, tzinfo=tokyo), confidence=1, target=Decimal("1.10"),
        side=Side.BUY, samples=3, within=Range(low=1),
    )  # fmt: skip
    (stored,) = to_documents([forecast], Forecast, target="forecasts")
    assert stored["madeAt"] == NOON
    assert stored["madeAt"].utcoffset() == timedelta(0)
    assert stored["side"] == "buy"
    assert str(stored["target"]) == "1.10"
    assert stored["within"] == {"low": 1.0}


def test_what_was_handed_in_is_not_changed() -> None:
    given = {**GOOD, "metadata": {"at": NOON}}
    to_documents([given], Log, target="logs")
    assert given == {**GOOD, "metadata": {"at": NOON}}


@pytest.mark.parametrize(
    ("bad", "kind", "says"),
    [
        ({**GOOD, "level": "fatal"}, ValueFitError, "1: level: "),
        ({"timestamp": NOON, "level": "info", "service": "s"}, ColumnError, "1: message: "),
        ({**GOOD, "colour": "red"}, ColumnError, "1: colour: "),
        ({**GOOD, "timestamp": datetime(2014, 6, 1)}, NaiveTimeError, "1: timestamp: "),  # noqa: DTZ001  # naive on purpose
        ({**GOOD, "metadata": {"at": datetime(2014, 6, 1)}}, NaiveTimeError, "1: metadata.at: "),  # noqa: DTZ001  # naive on purpose
        ({"level": "fatal"}, InputError, "1: "),
        (Range(low=1), InputError, "1: is a Range, not a Log"),
    ],
)
def test_one_bad_document_refuses_all_and_is_named(bad: Any, kind: type[InputError], says: str) -> None:
    with pytest.raises(InputError) as caught:
        to_documents([GOOD, bad, GOOD], Log, target="market.logs")
    assert type(caught.value) is kind
    assert says in str(caught.value)
    assert "market.logs" in str(caught.value)
    assert "fatal" not in str(caught.value)


def test_a_bad_value_is_named_by_row_and_column() -> None:
    with pytest.raises(ValueFitError) as caught:
        to_documents([GOOD, {**GOOD, "level": "x"}], Log, target="logs")
    assert (caught.value.row, caught.value.column) == (1, "level")


def test_of_many_bad_ones_some_are_told() -> None:
    bad: list[BaseModel | dict[str, Any]] = [{**GOOD, "level": "x"}] * 12
    with pytest.raises(ValueFitError, match="and 7 more"):
        to_documents(bad, Log, target="logs")


def test_a_filter_is_a_half_open_range_and_equalities() -> None:
    assert to_filter(
        LOGS, NOON, NOON + timedelta(hours=1), {"level": ("info", "warn"), "metadata.a": Side.BUY}, target="logs"
    ) == {
        "level": {"$in": ["info", "warn"]},
        "metadata.a": "buy",
        "timestamp": {"$gte": NOON, "$lt": NOON + timedelta(hours=1)},
    }


@pytest.mark.parametrize(
    ("start", "end", "where"),
    [
        (NOON, NOON, {}),
        (NOON, NOON - timedelta(1), {}),
        (NOON.replace(tzinfo=None), NOON, {}),
        (NOON, NOON + timedelta(1), {"$where": "sleep(1000)"}),
        (NOON, NOON + timedelta(1), {"level": {"$ne": "info"}}),
        (NOON, NOON + timedelta(1), {"timestamp": NOON}),
    ],
)
def test_a_filter_that_is_no_range_of_plain_values_is_refused(
    start: datetime, end: datetime, where: dict[str, Any]
) -> None:
    with pytest.raises(InputError):
        to_filter(LOGS, start, end, where, target="logs")
