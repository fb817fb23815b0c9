"""The engine of a store is chosen once and put on record; what disagrees with the record is drift, never a switch."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from storekeeper import Platform
from storekeeper.errors import DriftError, NotSupportedError
from storekeeper.migrations import apply, plan
from storekeeper.migrations.steps import Step

Opened = Callable[..., Platform]


def test_the_choice_is_on_record(opened: Opened, postgres_url: str) -> None:
    platform = opened(postgres_url)
    assert Step("timescale", "choose engine", "partitions", "by what the server has") in plan(platform).steps
    apply(platform)
    with psycopg.connect(postgres_url) as connection:
        recorded = connection.execute(
            "SELECT engine, server_version = current_setting('server_version') FROM storekeeper.engines"
        )
        assert recorded.fetchall() == [("partitions", True)]
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO storekeeper.engines (engine, server_version) VALUES ('hypertables', '18')")


def test_the_engine_can_be_forced(opened: Opened, postgres_url: str) -> None:
    platform = opened(postgres_url, engine="partitions")
    assert Step("timescale", "choose engine", "partitions", "as set") in plan(platform).steps
    apply(platform)
    assert plan(opened(postgres_url)).steps == ()


def test_an_engine_that_is_not_there_is_refused_before_anything_is_done(opened: Opened, postgres_url: str) -> None:
    for act in (plan, apply):
        with pytest.raises(NotSupportedError, match="choose engine"):
            act(opened(postgres_url, engine="hypertables"))
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT to_regnamespace('storekeeper')").fetchone() == (None,)


def test_another_engine_than_the_recorded_one_is_drift(opened: Opened, migrated_url: str) -> None:
    for act in (plan, apply):
        with pytest.raises(DriftError, match="was made with partitions"):
            act(opened(migrated_url, engine="hypertables"))


def test_a_server_that_lost_the_extension_is_drift(opened: Opened, migrated_url: str) -> None:
    with psycopg.connect(migrated_url) as connection:
        connection.execute("UPDATE storekeeper.engines SET engine = 'hypertables'")
    with pytest.raises(DriftError, match="no timescaledb extension"):
        plan(opened(migrated_url))
