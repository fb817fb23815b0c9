"""What the Redis driver is told, which servers are refused, and the scripts that ship."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from storekeeper.errors import SettingsError
from storekeeper.settings import ClientPool
from storekeeper.stores.redis.allowance import Allowance, to_allowance
from storekeeper.stores.redis.client import client_options
from storekeeper.stores.redis.scripts import script
from storekeeper.stores.redis.version import too_old, version_of

DEFAULTS = ClientPool()


def test_the_connection_standards_are_the_defaults() -> None:
    told = client_options("redis://h:6380/1?pool_size=9", DEFAULTS)
    assert told.url == "redis://h:6380/1"
    assert told.pool == ClientPool(size=9)
    assert told.address == ("h", 6380)
    assert told.options["socket_connect_timeout"] == 5
    assert told.options["socket_timeout"] == 30


@pytest.mark.parametrize(
    ("url", "address"), [("unix://u:p@/run/r.sock?db=0", "/run/r.sock"), ("redis://", ("localhost", 6379))]
)
def test_addresses(url: str, address: object) -> None:
    assert client_options(url, DEFAULTS).address == address


@pytest.mark.parametrize(
    "url", ["http://h/", "redis://h/zero", "redis://u:se/cret@h/0", "redis://h:port/0", "redis://h/0?socket_timeout=x"]
)
def test_a_bad_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        client_options(url, DEFAULTS)
    assert "cret" not in f"{caught.value}{caught.value.__cause__}"


@pytest.mark.parametrize(
    ("about", "old"),
    [
        ({"redis_version": "7.0.0"}, None),
        ({"redis_version": "8.2"}, None),
        ({"redis_version": "10.0.1"}, None),
        ({"redis_version": "6.2.14"}, "redis 6.2.14"),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.8"}, None),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.0"}, None),
        ({"redis_version": "7.2.4", "valkey_version": "7.1.9"}, "valkey 7.1.9"),
        ({}, "redis 0"),
    ],
)
def test_servers_before_redis_7_are_too_old(about: dict[str, str], old: str | None) -> None:
    assert too_old(about) == old


def test_a_valkey_goes_by_its_own_version() -> None:
    assert version_of({"redis_version": "7.2.4", "valkey_version": "8.1.8"}) == "valkey 8.1.8"


def test_a_script_opens_with_its_units_and_is_known_by_its_digest() -> None:
    lua = script("rate_limit")
    assert "milliseconds" in lua.text.partition("\n\nlocal ")[0]
    assert lua.sha == hashlib.sha1(lua.text.encode()).hexdigest()
    assert script("rate_limit") is lua


@pytest.mark.parametrize(
    ("answer", "allowance"),
    [
        ([1, 3, 900], Allowance(True, 3, 10, 7, timedelta(0))),
        ([0, 10, 1500], Allowance(False, 10, 10, 0, timedelta(seconds=1.5))),
        ([0, 12, 1], Allowance(False, 12, 10, 0, timedelta(milliseconds=1))),
    ],
)
def test_allowances(answer: list[int], allowance: Allowance) -> None:
    assert to_allowance(answer, 10) == allowance
