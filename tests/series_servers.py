"""Servers for the suite of time-series engines: plain PostgreSQL always, and a TimescaleDB from wherever it can be had.

| where TimescaleDB comes from | runs |
| --- | --- |
| STOREKEEPER_TEST_TIMESCALE_URL, a superuser's on a scratch server | everything |
| STOREKEEPER_TEST_DOCKER=timescale, the official image | everything |
| neither: compiled to WASM (wasm_timescale.py) | what is marked `one_backend` |

A test's database is the process's own, emptied for each test: what a schema of that size costs is a third of what a
clone of it does. It is a template to the server, or TimescaleDB's background workers would hold it open.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from storekeeper.servers.roles import ROLES, RoleName, make_roles, role_name
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.hypertables import HypertablesEngine
from storekeeper.timescale.partitions import PartitionsEngine
from storekeeper.timescale.spellings import parsed
from timescale_series import in_database
from wasm_timescale import WasmTimescale

URL: Final = "STOREKEEPER_TEST_TIMESCALE_URL"
SOAK: Final = os.environ.get("STOREKEEPER_TEST_PROFILE") == "soak"

Source = Literal["url", "docker", "wasm"]


def timescale_source() -> Source:
    """Where this run's TimescaleDB comes from."""
    if os.environ.get(URL):
        return "url"
    return "docker" if os.environ.get("STOREKEEPER_TEST_DOCKER") == "timescale" else "wasm"


def described() -> str:
    """The same for people."""
    told = {
        "url": f"the server of {URL}",
        "docker": "the official image",
        "wasm": "compiled to WASM, for a part of the suite",
    }
    return told[timescale_source()]


def parametrize_engines(metafunc: pytest.Metafunc) -> None:
    """A case an engine for every test that takes `series_server`.

    `partitions` and `timescale` are marks of tests that concern one of the engines. Where the one backend of the WASM
    server is all there is, only tests that are marked `one_backend` run on it; of generated twins the async ones.
    """
    if "series_server" not in metafunc.fixturenames:
        return
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    names = [name for name in ("partitions", "timescale") if name in marks] or ["partitions", "timescale"]
    if timescale_source() == "wasm" and ("one_backend" not in marks or (_is_twin(metafunc) and not SOAK)):
        names = [name for name in names if name != "timescale"]
    cases: list[object] = list(names)
    if not names:
        reason = (
            f"needs several sessions on a TimescaleDB server: give one by {URL}, or STOREKEEPER_TEST_DOCKER=timescale"
        )
        cases = [pytest.param("timescale", marks=pytest.mark.skip(reason=reason))]
    metafunc.parametrize("series_server", cases, indirect=True, scope="session")


def _is_twin(metafunc: pytest.Metafunc) -> bool:
    path = Path(metafunc.module.__file__ or "")
    return path.with_name(f"{path.stem}_async.py").exists()


class SeriesServer(Protocol):
    """A server, and the engine of the series that are made on it."""

    @property
    def engine(self) -> Engine: ...

    def database(self, script: str) -> AbstractContextManager[str]:
        """The URL of an administrator in a database that holds what this script makes, and nothing else."""
        ...

    def role_urls(self, url: str) -> dict[RoleName, str]:
        """Makes the login roles of an installation for this database, which is the owner's from then on."""
        ...

    def end_sessions(self, url: str) -> int:
        """Ends the sessions that others have in this database; returns how many there were."""
        ...


class DatabaseOfOne:
    """A database on a real server, for one process: emptied before each test, dropped at the end."""

    def __init__(self, url: str, engine: Engine, *, extension: bool) -> None:
        """`url` is an administrator's."""
        self.engine = engine
        self._url = url
        self._extension = extension
        self._name = f"series_{engine.name}_{secrets.token_hex(4)}"
        self._roles = False

    def __enter__(self) -> DatabaseOfOne:
        self._make()
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    @contextmanager
    def database(self, script: str) -> Iterator[str]:
        url = in_database(self._url, self._name)
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                self._empty(connection)
                connection.execute(script.encode())
        except psycopg.Error:  # whatever the test before has left of it
            self._drop()
            self._make()
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(script.encode())
        yield url

    def role_urls(self, url: str) -> dict[RoleName, str]:
        self._roles = True
        return _made_roles(url, self._name)

    def end_sessions(self, url: str) -> int:
        with psycopg.connect(url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchone()
        assert row is not None
        return int(str(row[0]))

    def _empty(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        """Cuts off everybody else, and drops all that tests make."""
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        schemas = connection.execute(
            "SELECT nspname FROM pg_namespace AS space WHERE nspname !~ '^pg_|^information_schema$|^public$' "
            "AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_namespace'::regclass AND objid = space.oid "
            "AND deptype = 'e')"
        ).fetchall()
        if schemas:
            listed = sql.SQL(", ").join(sql.Identifier(str(name)) for (name,) in schemas)
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(listed))

    def _make(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 IS_TEMPLATE true").format(sql.Identifier(self._name))
            )
        if self._extension:
            with psycopg.connect(in_database(self._url, self._name), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")

    def _drop(self) -> None:
        name = sql.Identifier(self._name)
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(name))
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            if self._roles:
                names = [sql.Identifier(role_name(self._name, role)) for role in ROLES]
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.SQL(", ").join(names)))


class WasmDatabase:
    """The database of the WASM server: before each test it is put back to what the script made of it."""

    def __init__(self, server: WasmTimescale, engine: Engine) -> None:
        self.engine = engine
        self._server = server
        self._kept: dict[str, str] = {}

    @contextmanager
    def database(self, script: str) -> Iterator[str]:
        if script in self._kept:
            self._server.restore(self._kept[script])
        else:
            self._server.restore("clean")
            with psycopg.connect(self._server.url, autocommit=True) as connection:
                connection.execute(script.encode())
            self._kept[script] = f"made_{len(self._kept)}"
            self._server.keep(self._kept[script])
        yield self._server.url

    def role_urls(self, url: str) -> dict[RoleName, str]:
        return _made_roles(url, "lab")

    def end_sessions(self, url: str) -> int:
        return self._server.cut_others()


def _made_roles(url: str, prefix: str) -> dict[RoleName, str]:
    passwords: dict[RoleName, str] = {role: secrets.token_hex(8) for role in ROLES}
    with psycopg.connect(url) as connection:
        make_roles(connection, prefix, passwords)
        # on the WASM server it is another database than the URL says
        row = connection.execute("SELECT current_database()").fetchone()
        assert row is not None
        names = map(sql.Identifier, (row[0], role_name(prefix, "owner")))
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*names))
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return {
        role: urlunsplit(parts._replace(netloc=f"{role_name(prefix, role)}:{password}@{host}"))
        for role, password in passwords.items()
    }


def plain(url: str) -> AbstractContextManager[SeriesServer]:
    """Partitions, on this server."""
    return DatabaseOfOne(url, PartitionsEngine(), extension=False)


def timescale(url: str) -> AbstractContextManager[SeriesServer]:
    """Hypertables, on this TimescaleDB server."""
    return DatabaseOfOne(url, hypertables_engine(url), extension=True)


def wasm(server: WasmTimescale) -> AbstractContextManager[SeriesServer]:
    """Hypertables, on the WASM server."""
    return nullcontext(WasmDatabase(server, hypertables_engine(server.url)))


def engine_at(url: str) -> Engine:
    """The engine of the series that are in a database already, for a process that is given nothing but its URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        there = connection.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    return hypertables_engine(url) if there is not None else PartitionsEngine()


def hypertables_engine(url: str) -> HypertablesEngine:
    """The engine for the version of the extension that a server makes."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'"
        ).fetchone()
    assert row is not None, f"{URL}: the server has no TimescaleDB"
    return HypertablesEngine(parsed(str(row[0])))
