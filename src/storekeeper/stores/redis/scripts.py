"""Lua scripts: each a file beside this one, read when it is first used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the digest by which the server knows it once it has seen it."""

    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script of the file scripts/NAME.lua."""
    text = (resources.files("storekeeper.stores.redis") / "scripts" / f"{name}.lua").read_text()
    # the server's own way of naming scripts, not cryptography
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
