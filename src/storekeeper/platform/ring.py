"""Where the key ring of an installation is, and what unlocks it."""

from __future__ import annotations

from pathlib import Path

from storekeeper.errors import SettingsError
from storekeeper.sealing.master_keys import MAKE_ONE, MasterKeys
from storekeeper.servers import read_stack
from storekeeper.servers.master_key import master_keys as stack_keys
from storekeeper.settings import Settings
from storekeeper.stores.sql.urls import sqlalchemy_url


def ring_place(settings: Settings) -> Path | str:
    """The file of the key ring, or the URL of its database. Raises SettingsError where that is a store's server.

    A key that is backed up with what it sealed could not be destroyed.
    """
    if settings.keyring_url is None:
        return settings.keyring or settings.directory / "keyring.sqlite"
    if settings.keyring is not None:
        raise SettingsError("keyring and keyring_url are both given: which is meant?", operation="read settings")
    url = settings.keyring_url.get_secret_value()
    for store in ("postgres", "timescale"):
        # a pooler's address is another than that of the server behind it, which the other URLs may name
        names = (f"{store}_url", *(f"{store}_{role}_url" for role in ("owner", "jobs", "analyst", "direct")))
        given = [getattr(settings, name, None) for name in names]
        if any(one is not None and _server(one.get_secret_value()) == _server(url) for one in given):
            raise SettingsError(
                f"keyring_url is on the server of {store}, and would be backed up with it",
                operation="read settings",
                hint="give the key ring a server of its own, or leave it in a file (`keyring`)",
            )
    return url


def master_keys(settings: Settings) -> MasterKeys:
    """The master keys: those of the settings, else those of the stack that runs in their directory.

    Raises SettingsError where there is none.
    """
    if settings.master_key is not None:
        return MasterKeys.of(settings.master_key, settings.previous_master_keys)
    if uses_stack_key(settings):
        return MasterKeys.of(*_apart(stack_keys(settings.directory)))
    raise SettingsError(
        f"no master key is set, and no stack runs in {settings.directory}",
        operation="open",
        target="key ring",
        hint=f"set STOREKEEPER_MASTER_KEY: {MAKE_ONE}",
    )


def uses_stack_key(settings: Settings) -> bool:
    """Whether the master key is that of a running stack."""
    return settings.master_key is None and read_stack(settings.directory) is not None


def _apart(keys: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    return keys[0], keys[1:]


def _server(url: str) -> tuple[str, int]:
    """Host and port; several hosts or a socket's folder may be a parameter."""
    parsed = sqlalchemy_url(url)
    host = parsed.host or parsed.query.get("host") or "localhost"
    return str(host).lower(), parsed.port or int(str(parsed.query.get("port", 5432)))
