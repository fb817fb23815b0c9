"""What a store says of itself when asked how it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of one store: reachable or not, the server's version, and how long the answer took.

    `detail` is the reason where `ok` is false, else what is worth knowing; it never holds a password.
    """

    store: str
    ok: bool
    version: str
    detail: str
    seconds: float
