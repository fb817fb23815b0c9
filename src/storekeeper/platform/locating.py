"""Where the four stores are: a URL that the settings give, else the stack that runs in their directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from storekeeper.errors import SettingsError
from storekeeper.servers import read_stack
from storekeeper.settings import DEFAULT_DIRECTORY, Settings
from storekeeper.stores.sql.urls import sqlalchemy_url

StoreName = Literal["postgres", "timescale", "mongo", "redis"]
STORES: tuple[StoreName, ...] = ("postgres", "timescale", "mongo", "redis")

#: As whom a SQL store is opened: services, migrations, jobs (ingest and backups too), analysts.
Role = Literal["app", "owner", "jobs", "analyst"]
ROLES: tuple[Role, ...] = ("app", "owner", "jobs", "analyst")


@dataclass(frozen=True, slots=True)
class Location:
    """The URL of a store, with its password, and whether it is the embedded stack's."""

    url: str
    embedded: bool


def locate(settings: Settings, store: StoreName, role: Role = "app") -> Location:
    """The place of a store. Raises SettingsError, with what to do, where there is none.

    `timescale` without a place of its own is in the database of `postgres`. A role without a URL of its own logs in as
    app does; MongoDB and Redis know no roles.
    """
    given = _given(settings, store, role)
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
    if store in ("postgres", "timescale"):
        return Location(stack.urls.postgres_as(role), embedded=True)
    return Location(getattr(stack.urls, store), embedded=True)


def login(settings: Settings, store: StoreName, role: Role) -> str:
    """The name by which a role logs in to a SQL store; empty where its URL leaves that to the client."""
    return sqlalchemy_url(locate(settings, store, role).url).username or ""


def owner_elsewhere(settings: Settings, store: StoreName, role: Role) -> str | None:
    """The owner's name where `role` logs in by another: None on a server with one role for all, where every right is
    there already."""
    owner = login(settings, store, "owner")
    return owner if owner != login(settings, store, role) else None


def direct_url(settings: Settings, store: StoreName, role: Role) -> str:
    """The URL past a transaction-mode pooler of `postgres`: that server, logged in by the role's own name."""
    url, direct = locate(settings, store, role).url, settings.postgres_direct_url
    if direct is None:
        return url
    own, pooled = sqlalchemy_url(url), sqlalchemy_url(locate(settings, "postgres").url)
    if (own.host, own.port, own.database, own.query) != (pooled.host, pooled.port, pooled.database, pooled.query):
        return url
    if own.username == pooled.username:
        return direct.get_secret_value()
    past = sqlalchemy_url(direct.get_secret_value()).set(username=own.username, password=own.password)
    return past.set(drivername="postgresql").render_as_string(hide_password=False)


def _given(settings: Settings, store: StoreName, role: Role) -> SecretStr | None:
    """What the settings say of a store and role, or of what stands in for it."""
    if store not in ("postgres", "timescale"):
        found: SecretStr | None = getattr(settings, f"{store}_url")
        return found
    names = [f"{store}_{role}_url", f"{store}_url"]
    if store == "timescale":
        names += [f"postgres_{role}_url", "postgres_url"]
    given = (getattr(settings, name) for name in names if name not in ("postgres_app_url", "timescale_app_url"))
    return next((url for url in given if url is not None), None)


def _option(directory: Path) -> str:
    return "" if directory == DEFAULT_DIRECTORY else f" --dir {directory}"
