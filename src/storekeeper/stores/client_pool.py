"""Reads the pool of a MongoDB or Redis client off its URL."""

from __future__ import annotations

from pydantic import ValidationError

from storekeeper.errors import SettingsError
from storekeeper.settings import ClientPool

_PARAMETERS = {"pool_min": "min", "pool_size": "size"}
_SQL_ONLY = ("pool_overflow", "pool_recycle")


def client_pool(url: str, defaults: ClientPool, *, store: str) -> tuple[str, ClientPool]:
    """The URL without `pool_min` and `pool_size`, and the pool that they ask for; what they don't say is of `defaults`.

    The rest of the URL stays as it is, character by character. Raises SettingsError.
    """
    address, mark, query = url.partition("?")
    kept = []
    asked: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if name in _SQL_ONLY:
            raise SettingsError(
                f"{name} is a parameter of the SQL stores",
                operation="read URL",
                target=store,
                hint="give pool_min, pool_size",
            )
        if name in _PARAMETERS:
            asked[_PARAMETERS[name]] = value
        else:
            kept.append(pair)
    try:
        pool = ClientPool.model_validate({**defaults.model_dump(), **asked})
    except ValidationError as error:
        lines = "; ".join(f"pool_{item['loc'][0]}: {item['msg']}" for item in error.errors())
        raise SettingsError(lines, operation="read URL", target=store) from error
    if pool.min > pool.size:
        if "min" in asked:
            raise SettingsError(
                f"a pool of {pool.size} cannot keep {pool.min} open", operation="read URL", target=store
            )
        pool = pool.model_copy(update={"min": pool.size})
    return address + (mark if kept else "") + "&".join(kept), pool
