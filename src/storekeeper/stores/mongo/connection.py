# Generated from connection_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The connection to a MongoDB server: opened once, bound to its process, every operation bounded in time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from storekeeper.errors import (
    AuthenticationError,
    ForkedError,
    StoreError,
    UnavailableError,
    WrongServerError,
)
from storekeeper.settings import ClientPool
from storekeeper.stores.mongo.client import client_options
from storekeeper.stores.mongo.failures import translated
from storekeeper.stores.mongo.version import too_old
from storekeeper.stores.spoken import spoken_at

Document = dict[str, Any]


class Connection:
    """A client and its pool; `operation()` lends the client for one operation."""

    def __init__(self, url: str, pool: ClientPool) -> None:
        self._told = client_options(url, pool)
        self._client: MongoClient[Document] | None = None
        self._process = os.getpid()

    def open(self) -> None:
        """Connects, and asks the server what it is. Raises UnavailableError, AuthenticationError, WrongServerError."""
        if self._client is not None:
            raise StoreError("is open already", operation="open", target="mongo")
        self._process = os.getpid()
        self._look()
        with translated("open", "mongo"):
            # Introduced by a client that opens no connection of its own accord: one that fills its pool in the
            # background would print a trace of each that the server refuses.
            self._client = MongoClient(self._told.url, **{**self._told.options, "minPoolSize": 0})
            try:
                self._introduce()
            finally:
                self.close()
            self._client = MongoClient(self._told.url, **self._told.options)

    def close(self) -> None:
        """Closes every connection. In a forked child it does nothing: the connections are the parent's."""
        if self._client is not None and self._process == os.getpid():
            client, self._client = self._client, None
            client.close()

    @property
    def client(self) -> MongoClient[Document]:
        """The driver's client. Raises ForkedError, or StoreError where it is not open."""
        if self._process != os.getpid():
            raise ForkedError(target="mongo", hint="open a platform in each process, after the fork")
        if self._client is None:
            raise StoreError("is not open", target="mongo", hint="use `with`, or call open()")
        return self._client

    @contextmanager
    def operation(self, operation: str, target: str) -> Iterator[MongoClient[Document]]:
        """The client, for one operation: its time is bounded, its failures are translated."""
        client = self.client
        with translated(operation, target):
            if not client.topology_description.known_servers:
                # Within a bounded block the driver waits for a lost server as long as the block may last, which is the
                # time for an operation; outside of it, as long as connecting may.
                client.admin.command("ping")
            with pymongo.timeout(self._told.operation):
                yield client

    def _look(self) -> None:
        """Refuses, at once, addresses at which no server listens, or one of another kind: the driver would go on trying
        for as long as connecting may last, and could not tell the one from the other."""
        for address in self._told.addresses:
            kind = spoken_at(address, "MongoDB", patience=min(self._told.connect, 1.0))
            if kind in ("MongoDB", "unknown"):
                return
            if kind is not None:
                raise WrongServerError(
                    f"that is a server of another kind: it speaks {kind}",
                    operation="open",
                    target="mongo",
                    hint="give the URL of a MongoDB server: mongodb://HOST:27017/",
                )
        places = (
            address if isinstance(address, str) else f"{address[0]}:{address[1]}" for address in self._told.addresses
        )
        raise UnavailableError(
            f"no server listens at {', '.join(places)}",
            operation="open",
            target="mongo",
            hint="does the server run, and is the URL right?",
        )

    def _introduce(self) -> None:
        """Asks the server what it is, and whether it lets us in."""
        client = self.client
        hello = client.admin.command("hello")
        about = client.admin.command("buildInfo")
        if old := too_old(hello, about):
            raise WrongServerError(
                f"the server is {old}",
                operation="open",
                target="mongo",
                hint="storekeeper needs MongoDB 7.0 or newer, or a server compatible with it",
            )
        if self._told.has_user:
            return
        try:
            # what went before is answered to strangers too; this is not, where users are wanted
            client.admin.command("listDatabases", nameOnly=True)
        except OperationFailure as error:
            raise AuthenticationError(
                "the server wants a user and a password",
                operation="open",
                target="mongo",
                hint="give them in the URL: mongodb://USER:PASSWORD@HOST:PORT/?authSource=admin",
            ) from error
