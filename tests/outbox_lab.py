"""A domain whose effects write into a table of the test's: what was applied, how often, and in which order."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from pydantic import BaseModel

from storekeeper.catalog import Catalog, Domain, Effect
from storekeeper.platform import Platform, connect
from storekeeper.relay import Delivery

APPLIED = "CREATE TABLE public.applied (id serial, position bigint, key text, text text, attempt int)"


class Note(BaseModel):
    """What the effects carry."""

    text: str
    count: int = 0


class Amount(BaseModel):
    """Another payload."""

    amount: int


class TrippedError(Exception):
    """Its text holds a value, as those of other libraries do."""


def _write(platform: Platform, payload: Note, delivery: Delivery) -> None:
    with platform.postgres.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO public.applied (position, key, text, attempt) VALUES (:position, :key, :text, :at)"),
            {"position": delivery.position, "key": delivery.key, "text": payload.text, "at": delivery.attempt},
        )


def applies(platform: Platform, payload: Note, delivery: Delivery) -> None:
    _write(platform, payload, delivery)


def trips(platform: Platform, payload: Note, delivery: Delivery) -> None:
    if payload.text == "poison":
        raise TrippedError("ada@example.org")
    _write(platform, payload, delivery)


def dies(platform: Platform, payload: Note, delivery: Delivery) -> None:
    _write(platform, payload, delivery)
    if os.environ.get("OUTBOX_LAB_DIES"):
        os.kill(os.getpid(), signal.SIGKILL)


NOTED = Effect("lab.noted", Note, "outbox_lab:applies")
TRIPPED = Effect("lab.tripped", Note, "outbox_lab:trips")
DIED = Effect("lab.died", Note, "outbox_lab:dies")
NOWHERE = Effect("lab.nowhere", Note, "outbox_lab:is_not_there")
#: In no catalogue: of a domain that was left out.
LEFT_OUT = Effect("gone.noted", Note, "outbox_lab:applies")

CATALOG = Catalog((Domain("lab", effects=(NOTED, TRIPPED, DIED, NOWHERE)),))


def applied(url: str, columns: str = "key, text") -> list[tuple[Any, ...]]:
    """What was applied, in the order in which it was."""
    with psycopg.connect(url) as connection:
        return connection.execute(f"SELECT {columns} FROM public.applied ORDER BY id").fetchall()


def execute(url: str, statement: str) -> None:
    """Runs a statement of the test's own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def lab(url: str) -> Platform:
    """The relational store alone, with the lab's catalogue."""
    return connect(stores=("postgres",), postgres_url=url, catalog=CATALOG)


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    execute(migrated_url, APPLIED)
    with lab(migrated_url) as opened:
        yield opened
