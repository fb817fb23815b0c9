"""The open stores of one installation, composed. `connect()` and `connect_async()` make it."""

from storekeeper.platform.connecting import connect, connect_async
from storekeeper.platform.locating import STORES, StoreName
from storekeeper.platform.platform import Platform
from storekeeper.platform.platform_async import AsyncPlatform

__all__ = ["STORES", "AsyncPlatform", "Platform", "StoreName", "connect", "connect_async"]
