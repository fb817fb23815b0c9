"""What a MongoDB client is told: durable writes, aware times, standard UUIDs, exact decimals, and the pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import Any

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, TypeCodec, TypeRegistry
from bson.decimal128 import Decimal128
from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.uri_parser import parse_uri

from storekeeper.errors import SettingsError
from storekeeper.settings import ClientPool
from storekeeper.stores.client_pool import client_pool
from storekeeper.stores.spoken import Address


class _DecimalCodec(TypeCodec):
    """Decimals are stored as Decimal128 and come back as Decimal."""

    @property
    def python_type(self) -> type[Decimal]:
        return Decimal

    @property
    def bson_type(self) -> type[Decimal128]:
        return Decimal128

    def transform_python(self, value: Decimal) -> Decimal128:
        return Decimal128(value)

    def transform_bson(self, value: Decimal128) -> Decimal:
        return value.to_decimal()


_TYPES = TypeRegistry([_DecimalCodec()])
#: How documents are encoded, here as in the driver.
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True, tzinfo=UTC, uuid_representation=UuidRepresentation.STANDARD, type_registry=_TYPES
)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """A URL as the driver takes it, the driver's options beside it, and what an error wants to know of the URL.

    `addresses` are where its servers listen: host and port, or the path of a socket. `connect` and `operation` are in
    seconds.
    """

    url: str
    options: dict[str, Any]
    addresses: tuple[Address, ...]
    has_user: bool
    connect: float
    operation: float


def client_options(url: str, defaults: ClientPool) -> ClientOptions:
    """What the URL says itself goes before our own options. Raises SettingsError where it cannot be read."""
    plain, pool = client_pool(url, defaults, store="mongo")
    parsed = _parsed(plain)
    connect, operation = round(pool.connect * 1000), round(pool.operation * 1000)
    options: dict[str, Any] = {
        "appname": "storekeeper",
        "minPoolSize": pool.min,
        "maxPoolSize": pool.size,
        "connectTimeoutMS": connect,
        "serverSelectionTimeoutMS": connect,
        "socketTimeoutMS": operation,
        "waitQueueTimeoutMS": operation,
        # acknowledged means: in the journals of a majority
        "w": "majority",
        "journal": True,
        "wTimeoutMS": operation,
    }
    given = {name.lower() for name in parsed["options"]}
    kept = {name: value for name, value in options.items() if name.lower() not in given}
    return ClientOptions(
        plain,
        kept
        | {
            "tz_aware": True,
            "tzinfo": UTC,
            "uuidRepresentation": "standard",
            "type_registry": _TYPES,
        },
        tuple(host if host.startswith("/") else (host, port or 27017) for host, port in parsed["nodelist"]),
        bool(parsed["username"]),
        pool.connect,
        pool.operation,
    )


def _parsed(url: str) -> Mapping[str, Any]:
    hint = "mongodb://USER:PASSWORD@HOST:PORT/?authSource=admin, special characters percent-encoded"
    try:
        return parse_uri(url)
    except InvalidURI:
        # neither the driver's text nor its error goes on: both may quote a password that was not encoded
        raise SettingsError("is not a MongoDB URL", operation="read URL", target="mongo", hint=hint) from None
    except (ConfigurationError, ValueError) as error:
        raise SettingsError(str(error), operation="read URL", target="mongo", hint=hint) from error
