# Generated from keyring_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The key ring: seals values with keys of their own for each person, opens them, and destroys a person's keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import call as to_thread
from pathlib import Path
from typing import Self

from storekeeper.errors import InputError, KeyMissingError
from storekeeper.sealing.cache import Cache
from storekeeper.sealing.key_database import KeyDatabase
from storekeeper.sealing.key_file import KeyFile
from storekeeper.sealing.keys import Keys, RingStatus, WrappedKey
from storekeeper.sealing.master_keys import MasterKeys
from storekeeper.sealing.sealed_value import Place, open_with, parse, seal_with


@dataclass(frozen=True, slots=True)
class _DataKey:
    id: bytes
    holder: str
    key: bytes = field(repr=False)


class KeyRing:
    """Seals what identifies a person, and opens it.

    | call | does |
    | --- | --- |
    | `await ring.seal(text, place="defi.users.phone", row=str(id), person=str(id))` | the ciphertext, to be stored |
    | `await ring.open(sealed, place=…, row=…, person=…)` | the text, where all three are as they were |
    | `await ring.reseal(sealed, place=…, row=…, person=…)` | the same value under the newest key |
    | `await ring.is_stale(sealed, place=…, row=…, person=…)` | whether that would be another value |
    | `await ring.forget(person)` | destroys the person's keys: what was sealed for them opens nowhere again |
    | `await ring.rotate()` | wraps all keys by the newest master key, and begins new ones |

    `place` is schema.table.column, `row` the row's primary key, `person` the user that the value is about, None for
    what belongs to nobody: that is sealed under the installation's key. Keys are kept in memory for 60 s at most: so
    long another process may go on to open what was forgotten here.
    """

    def __init__(
        self,
        place: Path | str,
        master_keys: MasterKeys | Callable[[], MasterKeys],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """A ring in a file (a Path), or in a PostgreSQL of its own (a URL); opened when it is first used.

        `master_keys` given as a function is asked again where the ring names one that is not known. `monotonic` is
        seconds that only go forward.
        """
        self._keys = Keys(KeyFile(place) if isinstance(place, Path) else KeyDatabase(place))
        self._given = master_keys
        self._master_keys: MasterKeys | None = None
        self._monotonic = monotonic
        self._present: Cache[str, _DataKey] = Cache(monotonic)
        self._numbered: Cache[bytes, _DataKey] = Cache(monotonic)

    def seal(self, text: str, *, place: str, row: str, person: str | None = None) -> str:
        """Seals a text for one place, row and person; twice the same text gives two ciphertexts.

        The ciphertext is ASCII, about 60 + 4/3 of the text's bytes long. Raises MasterKeyError and KeyRingError.
        """
        bound = Place(place, row, person)
        key = self._present_key(person or "")
        return seal_with(key.key, key.id, text, bound)

    def open(self, sealed: str, *, place: str, row: str, person: str | None = None) -> str:
        """The text that was sealed for this place, row and person.

        Raises SealedValueError where the value was changed or moved, KeyMissingError where its key was destroyed.
        """
        bound = Place(place, row, person)
        value = parse(sealed, bound)
        key = self._numbered_key(value.key_id, bound)
        return open_with(key.key, value, bound)

    def reseal(self, sealed: str, *, place: str, row: str, person: str | None = None) -> str:
        """The value under the newest key: itself where that sealed it. Raises as `open` does."""
        text = self.open(sealed, place=place, row=row, person=person)
        key = self._present_key(person or "")
        bound = Place(place, row, person)
        return sealed if parse(sealed, bound).key_id == key.id else seal_with(key.key, key.id, text, bound)

    def is_stale(self, sealed: str, *, place: str, row: str, person: str | None = None) -> bool:
        """Whether `reseal` would make another value of this one: a key before the newest sealed it. Makes no key.

        Raises SealedValueError where it is no sealed value.
        """
        value = parse(sealed, Place(place, row, person))
        newest = self._newest_key(person or "")
        return newest is None or newest.id != value.key_id

    def forget(self, person: str) -> int:
        """Destroys the keys of a person, and so all that was sealed for them, in every backup too.

        Returns how many keys there were. Once more does nothing. A value sealed for them afterwards has a new key.
        """
        if not person:
            raise InputError("the installation's key is no person's", operation="forget", target="key ring")
        try:
            return to_thread(self._keys.destroy, person)
        finally:
            for cache in (self._present, self._numbered):
                cache.drop(lambda _name, key: key.holder == person)

    def rotate(self) -> int:
        """Wraps every key by the current master key, and has values sealed from now on by new keys.

        Returns how many keys were wrapped anew. Values that exist open as before: see `reseal`. Interrupted at any
        point, all values open as long as the previous master keys are given too; run again, it comes to its end.
        """
        self._reload()
        current = self._masters.current
        to_thread(self._keys.begin_epoch, current)
        count = 0
        while done := to_thread(self._keys.wrap_some, self._rewrapped):
            count += done
        self._present.drop()
        return count

    def status(self) -> RingStatus:
        """The ring, counted; nothing of its keys."""
        return to_thread(self._keys.status)

    def close(self) -> None:
        """Lets go of the keys in memory, and of the connection to the ring."""
        for cache in (self._present, self._numbered):
            cache.drop()
        to_thread(self._keys.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _present_key(self, holder: str) -> _DataKey:
        """The key that seals for this holder now."""
        if (known := self._newest_key(holder)) is not None:
            return known
        since = self._monotonic()
        return self._kept(to_thread(self._made, holder), since)

    def _newest_key(self, holder: str) -> _DataKey | None:
        """That key, where it was made already."""
        if (known := self._present.get(holder)) is not None:
            return known
        since = self._monotonic()
        wrapped = to_thread(self._keys.present, holder)
        return None if wrapped is None else self._kept(wrapped, since)

    def _kept(self, wrapped: WrappedKey, since: float) -> _DataKey:
        key = self._unwrapped(wrapped)
        self._present.put(key.holder, key, since)
        self._numbered.put(key.id, key, since)
        return key

    def _numbered_key(self, key_id: bytes, place: Place) -> _DataKey:
        if (known := self._numbered.get(key_id)) is not None:
            return known
        since = self._monotonic()
        wrapped = to_thread(self._keys.numbered, key_id)
        if wrapped is None:
            raise KeyMissingError(
                f"key {key_id.hex()} is not in the key ring",
                operation="open",
                target=place.column,
                hint="the person was erased, or this is another installation's key ring",
            )
        key = self._unwrapped(wrapped)
        self._numbered.put(key_id, key, since)
        return key

    @property
    def _masters(self) -> MasterKeys:
        if self._master_keys is None:
            self._master_keys = self._ask()
        return self._master_keys

    def _ask(self) -> MasterKeys:
        return self._given if isinstance(self._given, MasterKeys) else self._given()

    def _reload(self) -> None:
        """Asks for the master keys again: another process may have rotated them."""
        self._master_keys = self._ask()

    def _knowing(self, master: str) -> MasterKeys:
        if master not in self._masters:
            self._reload()
        return self._masters

    def _made(self, holder: str) -> WrappedKey:
        def wrap(master: str, key_id: bytes, holder: str, key: bytes) -> bytes:
            return self._knowing(master).wrap(master, key_id, holder, key)

        return self._keys.make(holder, self._masters.current, wrap)

    def _unwrapped(self, key: WrappedKey) -> _DataKey:
        return _DataKey(key.id, key.holder, self._unwrap(key))

    def _unwrap(self, key: WrappedKey) -> bytes:
        return self._knowing(key.master).unwrap(key.master, key.id, key.holder, key.wrapped)

    def _rewrapped(self, key: WrappedKey, master: str) -> bytes:
        return self._knowing(master).wrap(master, key.id, key.holder, self._unwrap(key))
