"""The data keys of a ring, wrapped: statements that SQLite and PostgreSQL both take, each piece of work a transaction.

A holder is a person, or "" for the installation. Rotation begins a new epoch: each holder has one key an epoch at most,
made when it is first needed, and seals with that of the present epoch. The ring names the master key that wraps new
keys, so that a process with other settings can't wrap one by a key that is about to be thrown away.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

#: Runs a statement with ? for parameters, and returns its rows.
Execute = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

#: Keys wrapped anew in one transaction.
_BATCH: Final = 500


class KeyStore(Protocol):
    """Where a ring lies.

    `ring` and `keys` are its two tables; `share` ends a SELECT whose row must not change until the transaction ends.
    """

    @property
    def ring(self) -> str: ...
    @property
    def keys(self) -> str: ...
    @property
    def share(self) -> str: ...

    def perform(self, work: Callable[[Execute], T], *, write: bool) -> T:
        """What `work(execute)` returns, in a transaction that is durable when this returns. It may be run twice.

        Raises KeyRingError where the ring cannot be reached.
        """

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as the ring holds it; `master` is the fingerprint of the master key that wraps it."""

    id: bytes
    holder: str
    master: str
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RingStatus:
    """A ring, counted. `epoch` is how often it was rotated, and one; `master` None: no key was ever made."""

    epoch: int
    master: str | None
    keys: int
    people: int
    keys_by_master: dict[str, int]
    rotated_at: datetime | None

    @property
    def unfinished(self) -> int:
        """The keys that a rotation did not come to: they are wrapped by an earlier master key."""
        return sum(count for master, count in self.keys_by_master.items() if master != self.master)


#: Wraps a key: (master, key id, holder, key).
Wrap = Callable[[str, bytes, str, bytes], bytes]


class Keys:
    """The keys of one ring, over the store in which it lies."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._columns = "id, holder, master, wrapped"

    def present(self, holder: str) -> WrappedKey | None:
        """The holder's key of the present epoch, if it was made already."""
        statement = (
            f"SELECT {self._columns} FROM {self._store.keys} "
            f"WHERE holder = ? AND epoch = (SELECT epoch FROM {self._store.ring})"
        )
        return self._one(statement, (holder,))

    def numbered(self, key_id: bytes) -> WrappedKey | None:
        """The key of this id."""
        return self._one(f"SELECT {self._columns} FROM {self._store.keys} WHERE id = ?", (key_id,))

    def make(self, holder: str, master: str, wrap: Wrap) -> WrappedKey:
        """The holder's key of the present epoch; makes it, once, however many ask at the same time.

        A ring that is new begins with `master`; any other names its own, and what `wrap` raises undoes all.
        """
        ring, keys = self._store.ring, self._store.keys

        def work(execute: Execute) -> WrappedKey:
            execute(f"INSERT INTO {ring} (only_one, epoch, master) VALUES (1, 1, ?) ON CONFLICT DO NOTHING", (master,))
            ((epoch, wrapping),) = execute(f"SELECT epoch, master FROM {ring}{self._store.share}", ())
            key_id, key = secrets.token_bytes(16), secrets.token_bytes(32)
            execute(
                f"INSERT INTO {keys} (id, holder, epoch, master, wrapped) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (key_id, holder, epoch, wrapping, wrap(wrapping, key_id, holder, key)),
            )
            select = f"SELECT {self._columns} FROM {keys} WHERE holder = ? AND epoch = ?"
            (row,) = execute(select, (holder, epoch))
            return WrappedKey(*row)

        return self._store.perform(work, write=True)

    def destroy(self, holder: str) -> int:
        """Deletes all keys of a holder; returns how many there were."""
        statement = f"DELETE FROM {self._store.keys} WHERE holder = ? RETURNING 1"
        return len(self._store.perform(lambda execute: execute(statement, (holder,)), write=True))

    def begin_epoch(self, master: str) -> None:
        """From now on keys are wrapped by this master key, and values sealed with keys that are made from now on."""
        statement = (
            f"INSERT INTO {self._store.ring} AS ring (only_one, epoch, master) VALUES (1, 1, ?) "
            "ON CONFLICT (only_one) DO UPDATE "
            "SET epoch = ring.epoch + 1, master = excluded.master, rotated_at = CURRENT_TIMESTAMP"
        )
        self._store.perform(lambda execute: execute(statement, (master,)), write=True)

    def wrap_some(self, rewrap: Callable[[WrappedKey, str], bytes]) -> int:
        """Wraps some keys anew, by the master key that the ring names; returns how many, 0 where none is left."""
        ring, keys = self._store.ring, self._store.keys

        def work(execute: Execute) -> int:
            named = execute(f"SELECT master FROM {ring}{self._store.share}", ())
            if not named:
                return 0
            ((master,),) = named
            found = execute(f"SELECT {self._columns} FROM {keys} WHERE master <> ? LIMIT {_BATCH}", (master,))
            for row in found:
                key = WrappedKey(*row)
                update = f"UPDATE {keys} SET master = ?, wrapped = ? WHERE id = ? AND master = ?"
                execute(f"{update} RETURNING 1", (master, rewrap(key, master), key.id, key.master))
            return len(found)

        return self._store.perform(work, write=True)

    def status(self) -> RingStatus:
        """The ring, counted."""
        ring, keys = self._store.ring, self._store.keys

        def work(execute: Execute) -> RingStatus:
            named = execute(f"SELECT epoch, master, rotated_at FROM {ring}", ())
            epoch, master, rotated_at = named[0] if named else (0, None, None)
            ((count, people),) = execute(
                f"SELECT count(*), count(DISTINCT CASE WHEN holder <> '' THEN holder END) FROM {keys}", ()
            )
            by_master = execute(f"SELECT master, count(*) FROM {keys} GROUP BY master ORDER BY master", ())
            moment = datetime.fromisoformat(f"{rotated_at}+00:00") if isinstance(rotated_at, str) else rotated_at
            return RingStatus(epoch, master, count, people, dict(by_master), moment)

        return self._store.perform(work, write=False)

    def close(self) -> None:
        self._store.close()

    def _one(self, statement: str, parameters: Sequence[Any]) -> WrappedKey | None:
        rows = self._store.perform(lambda execute: execute(statement, parameters), write=False)
        return WrappedKey(*rows[0]) if rows else None
