"""Missing databases are made on request, and who may not make one is told what to ask for."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from storekeeper import Settings
from storekeeper.errors import AuthenticationError, PermissionDeniedError, UnavailableError
from storekeeper.migrations import create_databases
from storekeeper.servers import RunningStack


def renamed(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


@pytest.fixture
def names(stack: RunningStack) -> Iterator[tuple[str, str]]:
    """Names for two databases, one of which must be quoted; they are dropped afterwards."""
    first = f"test_{secrets.token_hex(4)}"
    both = first, f"{first}-Times"
    yield both
    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        for name in both:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def settings(folder: Path, postgres: str, timescale: str) -> Settings:
    return Settings.load(folder, postgres_url=postgres, timescale_url=timescale)


def test_missing_databases_are_made_once(stack: RunningStack, names: tuple[str, str], tmp_path: Path) -> None:
    url = stack.urls.postgres
    wanted = settings(tmp_path, renamed(url, names[0]), renamed(url, names[1]))
    assert create_databases(wanted) == names
    assert create_databases(wanted) == ()
    with psycopg.connect(renamed(url, names[1])) as connection:
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)


def test_both_stores_in_one_database(stack: RunningStack, names: tuple[str, str], tmp_path: Path) -> None:
    url = renamed(stack.urls.postgres, names[0])
    assert create_databases(settings(tmp_path, url, url)) == (names[0],)


def test_who_may_not_is_told_what_to_ask_for(stack: RunningStack, names: tuple[str, str], tmp_path: Path) -> None:
    role = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(role)))
        try:
            parts = urlsplit(renamed(stack.urls.postgres, names[0]))
            url = urlunsplit(parts._replace(netloc=f"{role}:x@"))
            with pytest.raises(PermissionDeniedError, match=f"create database {names[0]}") as raised:
                create_databases(settings(tmp_path, url, url))
            assert f'CREATE DATABASE "{names[0]}" OWNER "{role}"' in raised.value.hint
            wrong = urlunsplit(parts._replace(netloc=f"{role}:y@"))
            with pytest.raises(AuthenticationError):
                create_databases(settings(tmp_path, wrong, wrong))
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_server_that_is_down_is_told_of(tmp_path: Path) -> None:
    url = f"postgresql://nobody@/{'x'}?host={tmp_path}"
    with pytest.raises(UnavailableError):
        create_databases(settings(tmp_path, url, url))
