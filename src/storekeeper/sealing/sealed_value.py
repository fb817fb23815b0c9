"""A sealed value as text: made with a data key, and opened only with that key, in the place that it was sealed for.

base64url, without padding, of: format (1 byte), key id (16), nonce (12), AES-256-GCM ciphertext with its tag (16 more
than the text's UTF-8). Bound to it, and needed to open it: format, key id, place, row and person.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storekeeper.errors import InputError, SealedValueError

_FORMAT = b"\x01"
_ID, _NONCE, _TAG = 16, 12, 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value belongs: schema.table.column, the row's key, and the person that it is about, if any."""

    column: str
    row: str
    person: str | None = None

    def __post_init__(self) -> None:
        if not self.column or not self.row or self.person == "":
            raise InputError(
                "a value is bound to a place and a row, and a person who is named has an id",
                operation="seal or open",
                target=self.column,
            )

    def bound_to(self, key_id: bytes) -> bytes:
        """What the ciphertext is bound to. Each part has its length before it, so that no two places are alike."""
        parts = (
            _FORMAT,
            key_id,
            self.column.encode(),
            self.row.encode(),
            *([self.person.encode()] if self.person else []),
        )
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@dataclass(frozen=True, slots=True)
class SealedValue:
    """The parts of a sealed value."""

    key_id: bytes
    nonce: bytes
    ciphertext: bytes

    def __str__(self) -> str:
        return urlsafe_b64encode(_FORMAT + self.key_id + self.nonce + self.ciphertext).rstrip(b"=").decode()


def parse(sealed: str, place: Place) -> SealedValue:
    """The parts of a sealed text. Raises SealedValueError where it is none."""
    try:
        raw = urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
    except (UnicodeEncodeError, NotBase64) as error:
        raise _not_sealed(place) from error
    value = SealedValue(raw[1 : 1 + _ID], raw[1 + _ID : 1 + _ID + _NONCE], raw[1 + _ID + _NONCE :])
    # written anew it must be the same: base64 has bits that decoding passes over, and they may not be changed either
    if raw[:1] != _FORMAT or len(value.ciphertext) < _TAG or str(value) != sealed:
        raise _not_sealed(place)
    return value


def seal_with(key: bytes, key_id: bytes, text: str, place: Place) -> str:
    """Seals a text with a data key. Raises InputError where it has no UTF-8."""
    try:
        plain = text.encode()
    except UnicodeEncodeError:
        # the error itself would hold the text
        raise InputError(
            "it holds half a character (a lone surrogate)", operation="seal", target=place.column
        ) from None
    nonce = secrets.token_bytes(_NONCE)
    return str(SealedValue(key_id, nonce, AESGCM(key).encrypt(nonce, plain, place.bound_to(key_id))))


def open_with(key: bytes, value: SealedValue, place: Place) -> str:
    """The text of a sealed value. Raises SealedValueError where it was changed, or sealed for another place."""
    try:
        return AESGCM(key).decrypt(value.nonce, value.ciphertext, place.bound_to(value.key_id)).decode()
    except InvalidTag as error:
        raise SealedValueError(
            "it was changed, or sealed for another column, row or person",
            operation="open",
            target=place.column,
            hint="restore the row from a backup; a value that moves to another row is opened and sealed anew",
        ) from error


def _not_sealed(place: Place) -> SealedValueError:
    return SealedValueError(
        "what is stored there is no sealed value, or not a whole one", operation="open", target=place.column
    )
