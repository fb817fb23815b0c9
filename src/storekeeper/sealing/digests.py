"""Tokens that nobody can guess, and the digests that are stored in their place."""

from __future__ import annotations

import hashlib
import secrets


def new_token() -> str:
    """A token of 256 random bits, as 43 characters that stand in a URL as they are."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """The SHA-256 of a token, as 64 hexadecimal digits: what is stored, and looked up by.

    Only for what has at least 128 random bits, such as `new_token()` gives. A password, a telephone number, an e-mail
    address or a PIN is found again from its digest by trying all there are, in minutes: those are for `hash_password`
    and `seal`.
    """
    # what a stranger sends may hold half a character: it has a digest like any other, which nothing has
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
