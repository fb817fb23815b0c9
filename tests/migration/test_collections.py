"""Collections on a real server come to what is declared, from wherever they are, and stay so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

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
    domain = replace(CATALOG.domain("invest"), collections=(replace(LOGS, **changes),))  # type: ignore[arg-type]  # fields by name
    return opened(platform.url("postgres"), catalog=Catalog((domain,), backups=CATALOG.backups))


def of_mongo(planned: Plan) -> list[tuple[str, str]]:
    return [(step.action, step.target.partition(".")[2]) for step in planned.steps if step.store == "mongo"]


def test_an_empty_server_comes_to_what_is_declared(platform: Platform) -> None:
    assert platform.mongo.actual_collections() == platform.mongo.wanted_collections()
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
    assert platform.mongo.actual_collections() == platform.mongo.wanted_collections()


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
    assert platform.mongo.actual_collections() == platform.mongo.wanted_collections()
