"""What a Redis client is told: its server, its time-outs and its pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.connection import parse_url

from storekeeper.errors import SettingsError
from storekeeper.settings import ClientPool
from storekeeper.stores.client_pool import client_pool
from storekeeper.stores.spoken import Address


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """A URL as the driver takes it, the driver's options beside it (what the URL says goes before them), and the pool.

    `address` is where the server listens: host and port, or the path of a socket.
    """

    url: str
    options: dict[str, Any]
    pool: ClientPool
    address: Address


def client_options(url: str, defaults: ClientPool) -> ClientOptions:
    """Raises SettingsError where the URL cannot be read."""
    plain, pool = client_pool(url, defaults, store="redis")
    try:
        parsed = parse_url(plain)  # type: ignore[no-untyped-call]  # the driver leaves it untyped
        if not plain.startswith("unix:") and "db" not in parsed and plain.partition("?")[0].count("/") > 2:
            number = plain.partition("?")[0].rpartition("/")[2]
            if number:
                raise ValueError("the path is no number of a database")
    except ValueError:
        # neither the driver's text nor its error goes on: both may quote a password that was not encoded
        raise SettingsError(
            "is not a Redis URL",
            operation="read URL",
            target="redis",
            hint="redis://USER:PASSWORD@HOST:PORT/0, rediss:// for TLS, unix:///PATH?db=0; special characters encoded",
        ) from None
    options: dict[str, Any] = {
        "socket_connect_timeout": pool.connect,
        "socket_timeout": pool.operation,
        # after so many seconds of idleness a connection is asked whether it lives, before it is used
        "health_check_interval": 30,
        # the replies of protocol 2 are the same whatever the version of the server
        "protocol": 2,
        "client_name": "storekeeper",
    }
    address: Address = parsed.get("path") or (parsed.get("host", "localhost"), parsed.get("port", 6379))
    return ClientOptions(plain, options, pool, address)
