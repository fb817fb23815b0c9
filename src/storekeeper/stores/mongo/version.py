"""What a MongoDB server, or one compatible with it, says of its version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: MongoDB 7.0 speaks this version of the wire protocol.
OLDEST_WIRE_VERSION = 21


def too_old(hello: Mapping[str, Any], about: Mapping[str, Any]) -> str | None:
    """The server's name and version where it speaks an older protocol than MongoDB 7.0; None where it is new enough.

    Takes the answers to the commands hello and buildInfo.
    """
    if hello.get("maxWireVersion", 0) >= OLDEST_WIRE_VERSION:
        return None
    return f"MongoDB {about.get('version', 'of an unknown version')}"
