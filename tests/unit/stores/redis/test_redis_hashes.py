"""Models as hashes, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from store_models import Quote, Session, Side
from storekeeper.errors import ColumnError, InputError, NaiveTimeError, StoreError, ValueFitError
from storekeeper.stores.redis.hashes import from_hash, json_fields, to_hash

NOON = datetime(2014, 6, 1, 12, tzinfo=UTC)


def raw(fields: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): text.encode() for name, text in fields.items()}


def test_every_field_is_a_text_that_says_what_it_is() -> None:
    tokyo = timezone(timedelta(hours=9))
    quote = Quote(
        price=Decimal("1E+3"), volume=10**12, side=Side.BUY, updated_at=datetime(2014, 6, 1, 21, tzinfo=tokyo)
    )
    assert to_hash(quote, Quote, target="stock") == {
        "price": "1000",
        "volume": "1000000000000",
        "halted": "false",
        "side": "buy",
        "updated_at": "2014-06-01T12:00:00Z",
    }


def test_what_holds_others_is_json() -> None:
    assert json_fields(Session) == {"device_info"}
    assert json_fields(Quote) == frozenset()
    session = Session(user_id=UUID(int=1), refresh_token="é", device_info={"os": "ö", "n": [1, None]}, created_at=NOON)
    assert to_hash(session, Session, target="session") == {
        "user_id": "00000000-0000-0000-0000-000000000001",
        "refresh_token": "é",
        "device_info": '{"os":"ö","n":[1,null]}',
        "created_at": "2014-06-01T12:00:00Z",
    }


@given(
    st.builds(
        Quote,
        price=st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9),
        change=st.none() | st.decimals(allow_nan=False, allow_infinity=False),
        volume=st.integers(),
        halted=st.booleans(),
        side=st.none() | st.sampled_from(Side),
        updated_at=st.datetimes(timezones=st.just(UTC)),
    )
)
def test_what_was_put_is_what_is_got(quote: Quote) -> None:
    assert from_hash(raw(to_hash(quote, Quote, target="t")), Quote, target="t") == quote


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())))
def test_nested_values_come_back_as_they_were(info: dict[str, Any]) -> None:
    session = Session(user_id=UUID(int=1), refresh_token="", device_info=info, created_at=NOON)
    assert from_hash(raw(to_hash(session, Session, target="t")), Session, target="t") == session


def test_a_field_that_may_be_text_or_not_keeps_its_type() -> None:
    class Loose(BaseModel):
        anything: Any
        either: str | list[int]

    for loose in (Loose(anything="1", either="[1]"), Loose(anything=1, either=[1])):
        assert from_hash(raw(to_hash(loose, Loose, target="t")), Loose, target="t") == loose


def test_nothing_stored_is_none() -> None:
    assert from_hash({}, Quote, target="t") is None


@pytest.mark.parametrize(
    "stored", [{"price": "dear"}, {"price": "1", "volume": "1", "updated_at": "x"}, {"price": "\udc80"}]
)
def test_what_the_model_refuses_is_an_error_without_values(stored: dict[str, str]) -> None:
    fields = {name.encode(): text.encode(errors="surrogateescape") for name, text in stored.items()}
    with pytest.raises(StoreError) as caught:
        from_hash(fields, Quote, target="stock:{symbol}:quote")
    assert "dear" not in str(caught.value)


def test_broken_json_is_an_error() -> None:
    fields = {
        "user_id": str(UUID(int=1)),
        "refresh_token": "",
        "device_info": "{",
        "created_at": "2014-06-01T12:00:00Z",
    }
    with pytest.raises(StoreError, match="JSON"):
        from_hash(raw(fields), Session, target="session")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"price": "dear", "volume": 1, "updated_at": NOON}, ValueFitError),
        ({"price": "1", "updated_at": NOON}, ColumnError),
        ({"price": "1", "volume": 1, "updated_at": datetime(2014, 6, 1)}, NaiveTimeError),  # noqa: DTZ001  # naive on purpose
        (Session(user_id=UUID(int=1), refresh_token="", device_info={}, created_at=NOON), InputError),
    ],
)
def test_what_is_no_such_model_is_refused(value: Any, kind: type[InputError]) -> None:
    with pytest.raises(InputError) as caught:
        to_hash(value, Quote, target="stock")
    assert type(caught.value) is kind


def test_a_hash_without_fields_is_refused() -> None:
    class Empty(BaseModel):
        name: str | None = None

    with pytest.raises(InputError, match="None"):
        to_hash(Empty(), Empty, target="t")
