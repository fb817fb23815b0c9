"""Where the four stores are: a URL that the settings give, else the stack that runs in their directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from storekeeper.errors import SettingsError
from storekeeper.servers import read_stack
from storekeeper.settings import DEFAULT_DIRECTORY, Settings

StoreName = Literal["postgres", "timescale", "mongo", "redis"]
STORES: tuple[StoreName, ...] = ("postgres", "timescale", "mongo", "redis")


@dataclass(frozen=True, slots=True)
class Location:
    """The URL of a store, with its password, and whether it is the embedded stack's."""

    url: str
    embedded: bool


def locate(settings: Settings, store: StoreName) -> Location:
    """The place of a store. Raises SettingsError, with what to do, where there is none.

    `timescale` without a place of its own is in the database of `postgres`.
    """
    given = getattr(settings, f"{store}_url")
    if given is None and store == "timescale" and settings.postgres_url is not None:
        given = settings.postgres_url
    if given is not None:
        return Location(given.get_secret_value(), embedded=False)
    stack = read_stack(settings.directory)
    if stack is None:
        raise SettingsError(
            f"no URL is set, and no stack runs in {settings.directory}",
            operation="open",
            target=store,
            hint=f"run `storekeeper up --detach{_option(settings.directory)}`, or set STOREKEEPER_{store.upper()}_URL",
        )
    return Location(getattr(stack.urls, store), embedded=True)


def _option(directory: Path) -> str:
    return "" if directory == DEFAULT_DIRECTORY else f" --dir {directory}"
