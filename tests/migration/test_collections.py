"""Collections on a real server come to what is declared, from wherever they are, and stay so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pymongo.errors
import pytest

from storekeeper import Catalog, DocumentIndex, Platform, days
from storekeeper.domains import CATALOG
from storekeeper.domains.invest.documents import LOGS
from storekeeper.migrations import Plan, apply, plan

Opened = Callable[..., Platform]


@pytest.fixture
def platform(opened: Opened, migrated_url: str) -> Platform:
    """SQL stores migrated, MongoDB empty."""
    platform = opened(migrated_url)
    apply(platform)
    return platform


def declaring(platform: Platform, opened: Opened, **changes: object) -> Platform:
    """The same stores under a catalogue whose logs are declared otherwise."""
    domain = CATALOG.domain("invest")
    others = [collection for collection in domain.collections if collection is not LOGS]
    logs = replace(LOGS, **changes)  # type: ignore[arg-type]  # fields by name
    changed = replace(domain, collections=(logs, *others))
    domains = tuple(changed if one is domain else one for one in CATALOG.domains)
    return opened(platform.url("postgres"), catalog=Catalog(domains, backups=CATALOG.backups))


def is_as_declared(platform: Platform) -> bool:
    actual = {collection.name: collection for collection in platform.mongo.actual_collections()}
    return actual == {collection.name: collection for collection in platform.mongo.wanted_collections()}


def of_mongo(planned: Plan) -> list[tuple[str, str]]:
    return [(step.action, step.target.partition(".")[2]) for step in planned.steps if step.store == "mongo"]


def test_an_empty_server_comes_to_what_is_declared(platform: Platform) -> None:
    assert is_as_declared(platform)
    assert plan(platform).steps == ()


def test_expiry_and_indexes_follow_the_declaration(platform: Platform, opened: Opened) -> None:
    longer = declaring(platform, opened, drop_after=days(60), indexes=(*LOGS.indexes, DocumentIndex((("message", 1),))))
    planned = plan(longer)
    assert of_mongo(planned) == [("create index", "logs.message_1"), ("set expiry", "logs.timestamp_-1")]
    apply(longer, planned)
    assert plan(longer).steps == ()

    for_ever = declaring(platform, opened, drop_after=None)
    assert of_mongo(plan(for_ever)) == [("change index", "logs.timestamp_-1"), ("report", "logs.message_1")]
    apply(for_ever)
    assert of_mongo(plan(for_ever)) == [("report", "logs.message_1")]
    assert [step.action for step in apply(for_ever).steps] == []

    apply(platform)
    assert of_mongo(plan(platform)) == [("report", "logs.message_1")]


def test_what_somebody_changed_by_hand_is_brought_back(platform: Platform) -> None:
    database = platform.mongo.database("invest")
    database.command("collMod", "logs", validator={})
    database["logs"].drop_index("level_1_timestamp_-1")
    assert of_mongo(plan(platform)) == [("set validator", "logs"), ("create index", "logs.level_1_timestamp_-1")]
    apply(platform)
    assert is_as_declared(platform)


def test_only_prune_drops_what_nobody_declared(platform: Platform) -> None:
    database = platform.mongo.database("invest")
    database["logs"].create_index("mine")
    database["scratch"].insert_one({"kept": True})
    assert sorted(of_mongo(plan(platform))) == [("report", "logs.mine_1"), ("report", "scratch")]
    apply(platform)
    assert database["scratch"].count_documents({}) == 1

    planned = plan(platform, prune=True)
    assert sorted(of_mongo(planned)) == [("drop collection", "scratch"), ("drop index", "logs.mine_1")]
    apply(platform, planned)
    assert is_as_declared(platform)


NOON = datetime.now(UTC).replace(microsecond=0)  # the server removes what is old
EVENT: dict[str, Any] = {"eventType": "page_view", "timestamp": NOON, "properties": {"page": "/", "elapsedMs": 3}}
RESULT: dict[str, Any] = {
    "modelName": "lstm",
    "modelVersion": "1",
    "symbol": "AAPL",
    "timestamp": NOON,
    "prediction": {"targetPrice": 251.5, "confidence": 0.8, "range": {"low": 240, "high": 260.5, "mid": 250}},
    "features": {"rsi": 61.5},
}


@pytest.mark.parametrize(
    ("collection", "good", "bad"),
    [
        (
            "analytics",
            EVENT,
            [
                {"eventType": 7},
                {"timestamp": "2025-10-14"},
                {"userId": "ada"},
                {"properties": {"page": 7}},
                {"context": {"ip": 1}},
                {"more": 1},
            ],
        ),
        (
            "ml_results",
            RESULT,
            [
                {"symbol": "x" * 33},
                {"prediction": {"targetPrice": "high", "confidence": 1}},
                {"prediction": {"targetPrice": 1}},
                {"prediction": {"targetPrice": 1, "confidence": 1, "range": {"low": 1}}},
                {"features": "many"},
                {"accuracy": "good"},
                {"more": 1},
            ],
        ),
    ],
)
def test_the_server_checks_what_others_write(
    platform: Platform, collection: str, good: dict[str, Any], bad: list[dict[str, Any]]
) -> None:
    there = platform.mongo.database("invest")[collection]
    there.insert_one(dict(good))
    for change in bad:
        with pytest.raises(pymongo.errors.WriteError):
            there.insert_one({**good, **change})
    for name in good.keys() - {"properties", "features"}:
        with pytest.raises(pymongo.errors.WriteError):
            there.insert_one({key: value for key, value in good.items() if key != name})
    assert there.count_documents({}) == 1
