"""A database that the tests of one file share: what they write belongs to users, assets and streams of their own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from storekeeper.servers import RunningStack


@pytest.fixture(scope="module")
def shared_url(stack: RunningStack, template: str) -> Iterator[str]:
    """A clone of the migrated template."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        yield urlunsplit(urlsplit(stack.urls.postgres)._replace(path=f"/{name}"))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
