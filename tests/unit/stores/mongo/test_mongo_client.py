"""What the MongoDB driver is told."""

from __future__ import annotations

import pytest

from storekeeper.errors import SettingsError
from storekeeper.settings import ClientPool
from storekeeper.stores.mongo.client import client_options
from storekeeper.stores.mongo.version import too_old

DEFAULTS = ClientPool()


def test_the_connection_standards_are_the_defaults() -> None:
    told = client_options("mongodb://h:27018/", DEFAULTS)
    assert told.addresses == (("h", 27018),)
    assert told.operation == 30
    assert told.options["minPoolSize"] == 5
    assert told.options["maxPoolSize"] == 20
    assert told.options["connectTimeoutMS"] == told.options["serverSelectionTimeoutMS"] == 5000
    assert told.options["socketTimeoutMS"] == 30_000
    assert told.options["w"] == "majority"
    assert told.options["journal"] is True
    assert told.options["tz_aware"] is True
    assert told.options["uuidRepresentation"] == "standard"


def test_the_url_goes_before_the_defaults() -> None:
    told = client_options("mongodb://u:p@h/?maxPoolSize=7&journal=false&connectTimeoutMS=9&pool_min=2", DEFAULTS)
    assert told.url == "mongodb://u:p@h/?maxPoolSize=7&journal=false&connectTimeoutMS=9"
    assert not {"maxPoolSize", "journal", "connectTimeoutMS"} & set(told.options)
    assert told.options["minPoolSize"] == 2
    assert told.has_user


def test_a_replica_set_has_several_addresses() -> None:
    told = client_options("mongodb://a,b:27018/?replicaSet=r", DEFAULTS)
    assert told.addresses == (("a", 27017), ("b", 27018))


def test_a_socket_is_an_address() -> None:
    assert client_options("mongodb://%2Frun%2Fm.sock/", DEFAULTS).addresses == ("/run/m.sock",)


@pytest.mark.parametrize(
    "url",
    ["http://h/", "mongodb://u:se/cret@h/", "mongodb://u:sec@ret@h/", "mongodb://h:port/", "mongodb://h/?nonsense=1"],
)
def test_a_bad_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        client_options(url, DEFAULTS)
    shown = f"{caught.value}{caught.value.__cause__}"
    assert "cret" not in shown


@pytest.mark.parametrize(
    ("hello", "about", "old"),
    [
        ({"maxWireVersion": 21}, {"version": "7.0.2"}, None),
        ({"maxWireVersion": 27}, {"version": "8.2.1"}, None),
        ({"maxWireVersion": 17}, {"version": "6.0.9"}, "MongoDB 6.0.9"),
        ({}, {}, "MongoDB of an unknown version"),
    ],
)
def test_servers_before_7_are_too_old(hello: dict[str, int], about: dict[str, str], old: str | None) -> None:
    assert too_old(hello, about) == old
