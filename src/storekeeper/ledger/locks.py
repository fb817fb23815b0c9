"""Every advisory lock of the platform. All use PostgreSQL's two-integer form with one namespace."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

#: "stor" as four bytes: no other program's locks are met by chance.
NAMESPACE = 0x73746F72


@dataclass(frozen=True, slots=True)
class Lock:
    """One advisory lock: pg_advisory_lock(namespace, key)."""

    namespace: int
    key: int

    def at_once(self) -> sa.Select[Any]:
        """True, and the lock held until the transaction ends; or false, without waiting, where another holds it."""
        function = sa.func.pg_try_advisory_xact_lock
        return sa.select(function(sa.cast(self.namespace, sa.Integer), sa.cast(self.key, sa.Integer)))

    def in_transaction(self, *, shared: bool = False) -> sa.Select[Any]:
        """Waits for the lock (no longer than lock_timeout) and holds it until the transaction ends."""
        function = sa.func.pg_advisory_xact_lock_shared if shared else sa.func.pg_advisory_xact_lock
        return sa.select(function(sa.cast(self.namespace, sa.Integer), sa.cast(self.key, sa.Integer)))

    def in_session(self, *, shared: bool = False) -> sa.Select[Any]:
        """Waits for the lock (no longer than lock_timeout) and holds it until the session ends or lets go of it."""
        function = sa.func.pg_advisory_lock_shared if shared else sa.func.pg_advisory_lock
        return sa.select(function(sa.cast(self.namespace, sa.Integer), sa.cast(self.key, sa.Integer)))


def lock_key(purpose: str, name: str = "") -> int:
    """A number of four bytes, with sign, that stands for a purpose and the name of what is locked.

    The same in every process and version: the head of a sha256. The capture functions compute it likewise, in SQL.
    """
    digest = hashlib.sha256(f"{purpose}/{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big", signed=True)


def _lock(purpose: str, name: str = "") -> Lock:
    return Lock(NAMESPACE, lock_key(purpose, name))


def scheduler_lock() -> Lock:
    """Held by the one scheduler that fires ticks."""
    return _lock("scheduler")


def job_lock(job: str) -> Lock:
    """Held while a job runs."""
    return _lock("job", job)


def migration_lock(store: str) -> Lock:
    """Held while a store is migrated; two stores in one database have a lock each, for each has a session."""
    return _lock("migration", store)


def chunks_lock(dataset: str) -> Lock:
    """Held while chunks of a dataset are made or dropped, so that two never make the same one."""
    return _lock("chunks", dataset)


def partitions_lock(table: str) -> Lock:
    """Held while partitions of a relational table are made or dropped, so that two never make the same one."""
    return _lock("partitions", table)


def refresh_lock(dataset: str) -> Lock:
    """Held while a window of a rollup is made anew: one refresh at a time."""
    return _lock("refresh", dataset)


def archive_lock(dataset: str) -> Lock:
    """Held while chunks of a dataset are archived: one at a time."""
    return _lock("archive", dataset)


def series_lock(dataset: str) -> Lock:
    """Shared by every statement that changes rows of a dataset and by every refresh from it, until they commit; held
    alone while its watermark is raised.

    A lock and not the watermark's row, because row locks let sharers pass a waiting writer: under steady appends the
    watermark would never be raised.
    """
    return _lock("series", dataset)


def outbox_lock(key: str) -> Lock:
    """Held from the moment at which an effect of this key is recorded until its transaction ends, so that positions
    within a key are in the order of the commits."""
    return _lock("outbox", key)


def audit_lock() -> Lock:
    """Held while rows of the audit log are sealed: the chain has one end."""
    return _lock("audit")


def file_lock(dataset: str, digest: str) -> Lock:
    """Held while a file of this content is ingested into a dataset."""
    return _lock("file", f"{dataset}/{digest}")
