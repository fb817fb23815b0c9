"""What Python's json module passes over in silence: a key that stands twice in an object, and NaN and Infinity.

json.loads(text, object_pairs_hook=members_once, parse_constant=no_constant)
"""

from __future__ import annotations

from typing import Any, NoReturn


class StrictJsonError(ValueError):
    """JSON that says two things, or that is none; `key` where one is to blame."""

    def __init__(self, reason: str, key: str | None = None) -> None:
        super().__init__(reason)
        self.key = key


def members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these members. Raises StrictJsonError where a key stands twice."""
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise StrictJsonError(f"has the key {key!r} twice", key)
            seen.add(key)
    return members


def no_constant(text: str) -> NoReturn:
    """Raises StrictJsonError for NaN and the infinities."""
    raise StrictJsonError(f"has {text}, which is no JSON")
