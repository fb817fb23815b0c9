"""defi as declared: shapes of its JSON, the life and protection of its tables, and what needs no server."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import RelationshipDirection

from storekeeper import InputError, years
from storekeeper.domains import CATALOG
from storekeeper.domains.defi import DOMAIN
from storekeeper.domains.defi.entities import Base
from storekeeper.domains.defi.events import NewEvent, StoredEvent, Stream, as_json, project
from storekeeper.domains.defi.operations.users import as_address
from storekeeper.domains.defi.shapes import Condition, Holding, IntentAction, Preferences, SignalData
from storekeeper.jobs import jobs_of

amounts = st.decimals(min_value=0, max_value=Decimal("1e30"), allow_nan=False, allow_infinity=False)
numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-100, max_value=100, places=8)


def test_it_is_a_part_of_the_catalogue() -> None:
    assert CATALOG.domain("defi") is DOMAIN
    assert {"defi.expire", "defi.signal-alerts"} <= {job.name for job in jobs_of(CATALOG)}
    for job in jobs_of(CATALOG):
        if job.name.startswith("defi."):
            assert callable(job.function())


def test_the_life_of_each_table() -> None:
    signals, events = DOMAIN.lifecycles
    assert (signals.name, signals.expires, signals.drop_after) == ("defi.signals", "expires_at", None)
    assert (events.name, events.keep_at_least, events.drop_after) == ("defi.event_store", years(1), None)


def test_whose_rows_the_tables_hold_and_what_a_service_may() -> None:
    found = {protection.name.removeprefix("defi."): protection for protection in DOMAIN.protections}
    assert {name: protection.owners for name, protection in found.items() if protection.owners} == {
        "users": ("id",),
        "positions": ("user_id",),
        "alerts": ("user_id",),
        "intents": ("user_id",),
    }
    assert set(found) == {table.name for table in DOMAIN.tables}
    assert (found["users"].clear, found["users"].sealed) == (("wallet_address",), ("telegram_chat_id",))
    assert found["positions"].clear == ("wallet_address",)
    assert found["event_store"].app == ("SELECT", "INSERT")
    assert {found[name].app for name in ("event_archives", "archived_streams")} == {("SELECT",)}


def test_every_foreign_key_is_a_relationship_both_ways() -> None:
    found = set()
    for mapper in Base.registry.mappers:
        for relation in mapper.relationships:
            other = relation.mapper.relationships[str(relation.back_populates)]
            assert (other.mapper, other.back_populates, relation.lazy) == (mapper, relation.key, "raise")
            if relation.direction is RelationshipDirection.MANYTOONE:
                found |= set(relation.local_columns)
            else:
                assert relation.passive_deletes == "all", "what becomes of them, the server decides"
    assert found == {key.parent for table in DOMAIN.tables for key in table.foreign_keys}


@pytest.mark.parametrize(
    ("model", "stored"),
    [
        (
            Preferences,
            {
                "riskProfile": "conservative",
                "alertThresholds": {"healthFactor": 1.5},
                "activeSignals": ["funding_rate"],
                "notificationChannels": ["telegram", "in_app"],
                "language": "de",
            },
        ),
        (Holding, {"symbol": "USDT", "amount": "1000.000001", "valueUSD": "999.9", "decimals": 6}),
        (SignalData, {"value": 0.01, "percentile": 99.0, "metadata": {"venue": "x"}, "window": "8h"}),
        (Condition, {"metric": "healthFactor", "comparison": "below", "threshold": "1.20", "of": "aave"}),
        (IntentAction, {"kind": "repay", "asset": "USDT", "amount": "1000", "slippage": "0.01"}),
    ],
)
def test_json_comes_back_as_it_was_with_what_nobody_named(model: type[BaseModel], stored: dict[str, Any]) -> None:
    assert model.model_validate(stored).model_dump(mode="json", by_alias=True, exclude_unset=True) == stored


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (Preferences, {"riskProfile": "reckless"}),
        (Preferences, {"alertThresholds": {"healthFactor": "high"}}),
        (Preferences, {"alertThresholds": {"healthFactor": float("inf")}}),
        (Preferences, {"notificationChannels": ["pigeon"]}),
        (Holding, {"symbol": "USDT", "amount": "-1", "valueUSD": "1"}),
        (Holding, {"symbol": "USDT", "amount": "NaN", "valueUSD": "1"}),
        (Holding, {"symbol": "USDT", "amount": "1"}),
        (SignalData, {"percentile": 101}),
        (Condition, {"metric": "", "comparison": "below", "threshold": "1"}),
        (Condition, {"metric": "x", "comparison": "near", "threshold": "1"}),
        (Condition, {"metric": "x", "comparison": "below"}),
        (IntentAction, {"kind": "repay", "asset": "USDT", "amount": "0"}),
    ],
)
def test_what_has_not_the_shape_is_refused(model: type[BaseModel], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(wrong)


@given(amounts, amounts)
def test_amounts_are_exact_and_without_an_exponent(amount: Decimal, value: Decimal) -> None:
    stored = Holding(symbol="X", amount=amount, value_usd=value).model_dump(mode="json", by_alias=True)
    assert not {"e", "E"} & set(stored["amount"] + stored["valueUSD"])
    again = Holding.model_validate(stored)
    assert (again.amount, again.value_usd) == (amount, value)


@given(numbers, numbers)
def test_a_condition_compares(value: Decimal, threshold: Decimal) -> None:
    held = {
        comparison: Condition.model_validate(
            {"metric": "m", "comparison": comparison, "threshold": str(threshold)}
        ).holds({"m": value})
        for comparison in ("below", "at_most", "equals", "at_least", "above")
    }
    assert held == {
        "below": value < threshold,
        "at_most": value <= threshold,
        "equals": value == threshold,
        "at_least": value >= threshold,
        "above": value > threshold,
    }


@pytest.mark.parametrize("comparison", ["below", "at_most", "equals", "at_least", "above"])
def test_without_its_metric_a_condition_does_not_hold(comparison: Any) -> None:
    condition = Condition(metric="m", comparison=comparison, threshold=Decimal(1))
    assert not condition.holds({})
    assert not condition.holds({"other": Decimal(1)})
    assert not condition.holds({"m": Decimal("NaN")})


def test_an_address_is_kept_in_lower_case() -> None:
    assert as_address(" 0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B ") == "0xab5801a7d398351b8be11c439e05c5b3259aec9b"
    for wrong in ("", "0x12", "ab5801a7d398351b8be11c439e05c5b3259aec9b", f"0x{'g' * 40}", f"0x{'a' * 41}"):
        with pytest.raises(InputError):
            as_address(wrong)


@given(st.lists(st.integers()))
def test_a_projection_is_a_fold(values: list[int]) -> None:
    stream = Stream("loan", UUID(int=1))
    events = [
        StoredEvent(number, stream, number, "put", {"value": value}, {}, None)  # type: ignore[arg-type]  # no fold asks when
        for number, value in enumerate(values, 1)
    ]

    def put(state: tuple[int, ...], event: StoredEvent) -> tuple[int, ...]:
        return (*state, event.payload["value"])

    start: tuple[int, ...] = ()
    assert project(events, start, put) == tuple(values)


@pytest.mark.parametrize("payload", [{"a": float("nan")}, {"a": object()}, {1: {float("inf")}}])
def test_what_is_no_json_is_no_event(payload: Any) -> None:
    with pytest.raises(InputError, match="no JSON"):
        as_json(Stream("loan", UUID(int=1)), 0, [NewEvent("x", payload)])
