"""URLs of the SQL stores: storekeeper's own parameters taken out, the rest handed to SQLAlchemy or libpq."""

from __future__ import annotations

from typing import Final

from psycopg.conninfo import make_conninfo
from pydantic import ValidationError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from storekeeper.errors import SettingsError
from storekeeper.settings import SqlPool, without_password

_SCHEMES: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
_POOL_PARAMETERS: Final = {
    "pool_min": "min",
    "pool_size": "size",
    "pool_overflow": "overflow",
    "pool_recycle": "recycle",
}


def sqlalchemy_url(url: str) -> URL:
    """The URL for SQLAlchemy with psycopg, without the parameters of the pool. Raises SettingsError."""
    parsed = _parsed(url)
    return parsed.set(drivername="postgresql+psycopg").difference_update_query(_POOL_PARAMETERS)


def pool_parameters(url: str, defaults: SqlPool) -> SqlPool:
    """`defaults`, overruled by pool_min, pool_size, pool_overflow and pool_recycle of the URL. Raises SettingsError."""
    query = _parsed(url).query
    unknown = sorted(name for name in query if name.startswith("pool_") and name not in _POOL_PARAMETERS)
    if unknown:
        raise SettingsError(
            f"no such parameter of the pool: {', '.join(unknown)}",
            operation="read URL",
            target=without_password(url),
            hint=f"there are {', '.join(_POOL_PARAMETERS)}",
        )
    given = {field: query[name] for name, field in _POOL_PARAMETERS.items() if name in query}
    if "size" in given and "min" not in given and str(given["size"]).isdigit():
        # a pool smaller than the default number opened at start is no contradiction of the caller's
        given["min"] = str(min(defaults.min, int(str(given["size"]))))
    try:
        return SqlPool.model_validate({**defaults.model_dump(), **given})
    except ValidationError as error:
        lines = [f"pool_{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise SettingsError("; ".join(lines), operation="read URL", target=without_password(url)) from error


def same_pool(first: str, second: str) -> bool:
    """Whether both URLs name the same server, database and role, so that one pool serves both."""
    passwords = {_parameters(url).get("password") for url in (first, second)} - {None}
    return _identity(first) == _identity(second) and len(passwords) < 2


def psycopg_dsn(url: str) -> str:
    """The URL as a connection string of libpq, password included. Raises SettingsError."""
    return make_conninfo("", **_parameters(url))


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # the text of these errors may hold the URL with its password
        raise SettingsError(
            "this is no URL", operation="read URL", target=without_password(url), hint=_EXAMPLE
        ) from error
    if parsed.drivername not in _SCHEMES:
        raise SettingsError(
            f"{parsed.drivername}:// is not a PostgreSQL URL",
            operation="read URL",
            target=without_password(url),
            hint=_EXAMPLE,
        )
    return parsed


_EXAMPLE: Final = "write it like postgresql://user:password@host:5432/database"


def _identity(url: str) -> tuple[object, ...]:
    parameters = _parameters(url)
    user = parameters.pop("user", "")
    host, port = parameters.pop("host", ""), parameters.pop("port", "5432")
    database = parameters.pop("dbname", user)
    parameters.pop("password", None)
    return host, port, user, database, tuple(sorted(parameters.items()))


def _parameters(url: str) -> dict[str, str]:
    """The URL as parameters of libpq. Several hosts are written ?host=a:5432&host=b:5432, as SQLAlchemy has it."""
    parsed = sqlalchemy_url(url)
    named = {
        "host": parsed.host,
        "port": parsed.port,
        "user": parsed.username,
        "password": parsed.password,
        "dbname": parsed.database,
    }
    parameters = {name: str(value) for name, value in named.items() if value}
    for name, value in parsed.query.items():
        if name == "host" and not isinstance(value, str):
            addresses = [address.partition(":") for address in value]
            parameters["host"] = ",".join(host for host, _, _ in addresses)
            parameters["port"] = ",".join(port for _, _, port in addresses)
        else:
            parameters[name] = value if isinstance(value, str) else value[-1]
    return parameters
