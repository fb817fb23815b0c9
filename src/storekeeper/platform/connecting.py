"""Opening a platform, sync and async.

with connect() as platform:                 or   platform = connect(); …; platform.close()
async with connect_async() as platform:     or   platform = await connect_async()
connect(postgres_url=…, …)                  settings as arguments, before environment and files
connect(stores=("redis",))                  opens those stores alone
connect(role="jobs")                        logs in to the SQL stores as the role of jobs, not as that of services
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from storekeeper.catalog import Catalog, load_catalog
from storekeeper.clock import Clock, SystemClock
from storekeeper.platform.locating import STORES, Role, StoreName
from storekeeper.platform.platform import Platform
from storekeeper.platform.platform_async import AsyncPlatform
from storekeeper.settings import Settings


class Connecting:
    """An opening under way: `await` it for the platform, or enter it with `async with`."""

    def __init__(self, platform: AsyncPlatform, stores: Sequence[StoreName]) -> None:
        self._platform = platform
        self._stores = stores

    async def _open(self) -> AsyncPlatform:
        await self._platform.open(self._stores)
        return self._platform

    def __await__(self) -> Generator[Any, None, AsyncPlatform]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncPlatform:
        return await self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._platform.close()


def connect(
    *,
    stores: Sequence[StoreName] = STORES,
    catalog: Catalog | str | None = None,
    clock: Clock | None = None,
    root: Path | None = None,
    role: Role = "app",
    **settings: Any,
) -> Platform:
    """An open platform, to be used as a context manager or closed by `close()`.

    Settings are read as Settings.load says, from the folder `root`. A store without a URL is looked for in the stack
    that runs in `settings.directory`; none is ever started. `catalog` is a Catalog, or names one as module:NAME. `role`
    is as whom the SQL stores are logged in to: app for services, jobs, analyst, and owner, which is for migrations
    alone. Raises SettingsError and the stores' own errors.
    """
    platform = Platform(*_parts(catalog, clock, root, settings), role)
    platform.open(stores)
    return platform


def connect_async(
    *,
    stores: Sequence[StoreName] = STORES,
    catalog: Catalog | str | None = None,
    clock: Clock | None = None,
    root: Path | None = None,
    role: Role = "app",
    **settings: Any,
) -> Connecting:
    """As `connect()`, for asyncio: `async with connect_async() as platform`, or `await connect_async()`."""
    return Connecting(AsyncPlatform(*_parts(catalog, clock, root, settings), role), stores)


def _parts(
    catalog: Catalog | str | None, clock: Clock | None, root: Path | None, given: dict[str, Any]
) -> tuple[Settings, Catalog, Clock]:
    named = catalog if isinstance(catalog, str) else None
    settings = Settings.load(root, catalog=named, **given)
    declared = catalog if isinstance(catalog, Catalog) else load_catalog(settings.catalog)
    return settings, declared.only(settings.domains), clock or SystemClock()
