"""What a Redis or a Valkey server says of its version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def version_of(about: Mapping[str, Any]) -> str:
    """ "valkey 8.1.8" or "redis 7.4.1", from the answer to INFO server."""
    name, version = _name_and_version(about)
    return f"{name} {version}"


def too_old(about: Mapping[str, Any]) -> str | None:
    """The server's name and version where it is older than Redis 7.0 or Valkey 7.2; None where it is new enough.

    Valkey calls itself redis 7.2.4 as well, whatever its own version.
    """
    name, version = _name_and_version(about)
    needed = (7, 2) if name == "valkey" else (7, 0)
    numbers = tuple(int(part) if part.isdigit() else 0 for part in version.split(".")[:2])
    return f"{name} {version}" if numbers < needed else None


def _name_and_version(about: Mapping[str, Any]) -> tuple[str, str]:
    if "valkey_version" in about:
        return "valkey", str(about["valkey_version"])
    return "redis", str(about.get("redis_version", "0"))
