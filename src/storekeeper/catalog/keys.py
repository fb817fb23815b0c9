"""Keyspaces and rate limits: keys of the redis store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from storekeeper.errors import DeclarationError, InputError
from storekeeper.span import Span

_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Keyspace:
    """Keys of one pattern, such as session:{session_id}: their type, fields and time to live (None: for ever).

    `owner` names the part of the pattern, or the field of the model, that holds a user's id where a key is a person's.
    """

    pattern: str
    kind: Literal["hash", "set", "string"]
    ttl: Span | None = None
    model: type[BaseModel] | None = None
    owner: str | None = None

    def __post_init__(self) -> None:
        if self.kind == "hash" and self.model is None:
            raise DeclarationError("a hash needs a model of its fields", operation="declare", target=self.pattern)
        if self.ttl is not None and self.ttl.calendar:
            raise DeclarationError("a time to live counts seconds: give days", operation="declare", target=self.pattern)

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(_FIELD.findall(self.pattern))

    def key(self, **parts: object) -> str:
        """key(symbol="AAPL") → stock:AAPL:quote. Raises InputError on a missing, unknown or empty part."""
        if set(parts) != set(self.parts):
            raise InputError(f"takes {', '.join(self.parts)}", operation="key", target=self.pattern)
        texts = {name: str(value) for name, value in parts.items()}
        if not all(texts.values()) or None in parts.values():
            raise InputError("an empty part", operation="key", target=self.pattern)
        if any(":" in texts[name] for name in self.parts[:-1]):
            # two different pairs of parts would share one key
            raise InputError("a colon in a part that another follows", operation="key", target=self.pattern)
        return _FIELD.sub(lambda match: texts[match[1]], self.pattern)


@dataclass(frozen=True)
class RateLimit:
    """At most `limit` calls a `window`, counted in the keyspace's counter (its time to live is the window)."""

    keyspace: Keyspace
    limit: int
    window: Span

    def __post_init__(self) -> None:
        if self.limit < 1 or self.window.calendar or self.keyspace.kind != "string":
            raise DeclarationError("counts at least one call in a fixed window", target=self.keyspace.pattern)
