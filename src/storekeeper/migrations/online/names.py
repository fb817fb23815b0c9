"""Names of tables and of what belongs to them, as revisions write them: "deals.users"."""

from __future__ import annotations

import hashlib

from storekeeper.errors import DeclarationError
from storekeeper.timescale.quoting import qualified

#: The server cuts off what is longer.
LONGEST = 63


def parted(table: str) -> tuple[str, str]:
    """Schema and name. Raises DeclarationError where either is missing: nothing relies on a search path."""
    schema, _, name = table.partition(".")
    if not schema or not name or "." in name:
        raise DeclarationError("is no name of a table", operation="migrate", target=table, hint="write schema.table")
    return schema, name


def in_sql(table: str) -> str:
    """The name as SQL, quoted where it needs that."""
    return qualified(*parted(table))


def joined(*parts: str) -> str:
    """One name made of several, the same every time; its end is a digest where it would be too long."""
    name = "_".join(parts)
    if len(name.encode()) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{name.encode()[: LONGEST - 11].decode(errors='ignore')}_{digest}"
