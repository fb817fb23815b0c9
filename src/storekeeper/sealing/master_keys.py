"""Master keys: they wrap the data keys of the ring, and seal nothing else."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from storekeeper.errors import MasterKeyError, SealedValueError, SettingsError
from storekeeper.settings import key_bytes

_NONCE = 12


def new_master_key() -> str:
    """32 random bytes in base64, as the setting `master_key` takes them."""
    return b64encode(secrets.token_bytes(32)).decode()


def fingerprint(master_key: bytes) -> str:
    """16 hexadecimal digits that tell master keys apart, and nothing of the key."""
    return hashlib.sha256(b"storekeeper master key\0" + master_key).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """The master key in force, and those before it, by their fingerprints."""

    current: str
    _by_fingerprint: dict[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, master_key: SecretStr | str, previous: Iterable[SecretStr | str] = ()) -> MasterKeys:
        """From texts of base64. Raises SettingsError where one is not that of 32 bytes."""
        found: dict[str, bytes] = {}
        for text in (master_key, *previous):
            try:
                key = key_bytes(text.get_secret_value() if isinstance(text, SecretStr) else text)
            except ValueError as error:
                raise SettingsError(str(error), operation="read", target="master key", hint=MAKE_ONE) from error
            found[fingerprint(key)] = key
        return cls(next(iter(found)), found)

    def __contains__(self, master: str) -> bool:
        return master in self._by_fingerprint

    def wrap(self, master: str, key_id: bytes, holder: str, key: bytes) -> bytes:
        """A holder's data key under the master key of this fingerprint. Raises MasterKeyError."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + AESGCM(self._key(master)).encrypt(nonce, key, _bound_to(key_id, holder))

    def unwrap(self, master: str, key_id: bytes, holder: str, wrapped: bytes) -> bytes:
        """The data key. Raises MasterKeyError; SealedValueError where what the ring holds was changed."""
        try:
            return AESGCM(self._key(master)).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], _bound_to(key_id, holder))
        except InvalidTag as error:
            raise SealedValueError(
                "the key ring was changed: a data key does not unwrap",
                operation="unwrap",
                target=f"key {key_id.hex()}",
                hint="put back the newest copy of the key ring",
            ) from error

    def _key(self, master: str) -> bytes:
        try:
            return self._by_fingerprint[master]
        except KeyError:
            raise MasterKeyError(
                f"the key ring is wrapped by master key {master}, which is not given",
                operation="unwrap",
                target="key ring",
                hint="name it in master_key or previous_master_keys; `storekeeper keys status` lists which are needed",
            ) from None


def _bound_to(key_id: bytes, holder: str) -> bytes:
    return b"storekeeper data key\0" + key_id + holder.encode()


MAKE_ONE = "make one with `openssl rand -base64 32`, keep it outside of the backups, and never lose it"
