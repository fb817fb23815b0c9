"""Passwords as bcrypt hashes."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from base64 import b64encode
from functools import cache

#: bcrypt does 2 to the power of this many rounds: about a quarter of a second.
COST = 12
_BCRYPT_TAKES = 72


def hash_password(text: str, *, cost: int = COST) -> str:
    """The bcrypt hash of a password, salted: 60 characters that any bcrypt checks.

    bcrypt sees no more than 72 bytes. A longer password (or one with a NUL) is replaced by its SHA-256 in base64 first,
    so that all of it counts and none is refused; only `password_matches` checks the hash of such a one. The text is
    brought to one Unicode form (NFC), as keyboards differ in that. `cost` is from 4, for tests, to 31.
    """
    import bcrypt

    return bcrypt.hashpw(_fitted(text), bcrypt.gensalt(cost)).decode()


def password_matches(text: str, hashed: str | None) -> bool:
    """Whether this is the password of a hash. What is no bcrypt hash, such as a tombstone's, matches nothing.

    Where there is no such user, pass None: the answer is False, and takes as long as that to a wrong password.
    """
    import bcrypt

    try:
        return bcrypt.checkpw(_fitted(text), (_nobodys() if hashed is None else hashed).encode()) and hashed is not None
    except ValueError:
        return False


@cache
def _nobodys() -> str:
    return hash_password(secrets.token_hex())


def _fitted(text: str) -> bytes:
    encoded = unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")
    if len(encoded) <= _BCRYPT_TAKES and b"\0" not in encoded:
        return encoded
    return b64encode(hashlib.sha256(encoded).digest())
