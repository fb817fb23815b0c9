"""What operations check of what they are given, before a server sees it; pure."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

from storekeeper import InputError

#: What NUMERIC(10,2) holds.
MOST = Decimal("99999999.99")
_WALLET = re.compile(r"0x[0-9a-fA-F]{40}")


def price(value: Decimal, name: str) -> Decimal:
    """A price as its column holds it: finite, above 0, two decimals at most. Raises InputError; rounds nothing."""
    if not value.is_finite() or not 0 < value <= MOST:
        raise InputError(f"is not above 0 and at most {MOST}", operation="check", target=name)
    if value != value.quantize(Decimal("0.01")):
        raise InputError("has more than two decimals", operation="check", target=name, hint="round it first")
    return value


def moment(at: datetime) -> datetime:
    """A time that names its zone. Raises InputError."""
    if at.utcoffset() is None:
        raise InputError(
            "a time without a zone", operation="check", target="at", hint="take it from platform.clock.now()"
        )
    return at


def wallet(address: str) -> str:
    """An Ethereum address in lower case, as users are known by it. Raises InputError."""
    if not _WALLET.fullmatch(address):
        raise InputError("is not 0x and 40 hexadecimal digits", operation="check", target="wallet_address")
    return address.lower()
