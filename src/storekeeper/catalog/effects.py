"""Outbox effects: what another store must see of a change in the relational one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import BaseModel

from storekeeper.errors import DeclarationError

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Effect:
    """A kind of effect: `record()` writes one into the outbox in the caller's transaction, the relay applies it later.

    `payload` is what it carries. `apply` names the function that the relay calls, as "module:function", with the
    platform, the payload and the delivery (its position among all, its key): `apply(platform, payload, delivery)`. It
    may be called again for an effect that was applied already, so it must change nothing the second time: by a natural
    key or an idempotency key in the target, or by the position as a version that only moves forward.
    """

    name: str
    payload: type[BaseModel]
    apply: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]\w*\.[a-z]\w*", self.name):
            raise DeclarationError("is named DOMAIN.what_happened", operation="declare effect", target=self.name)
        if not _FUNCTION.fullmatch(self.apply):
            raise DeclarationError(
                f"{self.apply!r} is not module:function", operation="declare effect", target=self.name
            )
