"""The open stores of one installation, composed. `connect()` and `connect_async()` make it."""

from storekeeper.platform.connecting import connect, connect_async
from storekeeper.platform.locating import ROLES, STORES, Role, StoreName
from storekeeper.platform.platform import Platform
from storekeeper.platform.platform_async import AsyncPlatform

__all__ = [
    "ROLES",
    "STORES",
    "AsyncFeed",
    "AsyncPlatform",
    "Feed",
    "Platform",
    "Role",
    "StoreName",
    "connect",
    "connect_async",
]
