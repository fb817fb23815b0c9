"""Pool parameters of a MongoDB or Redis URL."""

from __future__ import annotations

import pytest

from storekeeper.errors import SettingsError
from storekeeper.settings import ClientPool
from storekeeper.stores.client_pool import client_pool

DEFAULTS = ClientPool()


@pytest.mark.parametrize(
    ("url", "plain", "size", "least"),
    [
        ("redis://h/0", "redis://h/0", 20, 5),
        ("redis://h/0?pool_size=50", "redis://h/0", 50, 5),
        ("redis://h/0?pool_size=3", "redis://h/0", 3, 3),
        ("mongodb://h/?w=1&pool_min=1&pool_size=2&tls=true", "mongodb://h/?w=1&tls=true", 2, 1),
        ("mongodb://u:p%40@h/?authSource=a%20b", "mongodb://u:p%40@h/?authSource=a%20b", 20, 5),
    ],
)
def test_what_the_url_asks_for_goes_before_the_defaults(url: str, plain: str, size: int, least: int) -> None:
    assert client_pool(url, DEFAULTS, store="redis") == (plain, ClientPool(min=least, size=size))


@pytest.mark.parametrize("query", ["pool_size=many", "pool_size=0", "pool_min=9&pool_size=2", "pool_overflow=5"])
def test_what_makes_no_pool_is_refused(query: str) -> None:
    with pytest.raises(SettingsError, match="pool"):
        client_pool(f"redis://h/0?{query}", DEFAULTS, store="redis")
