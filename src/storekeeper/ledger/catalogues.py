"""Which catalogue was applied last: recorded by `migrate`, compared by every process before it destroys anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storekeeper.catalog import Catalog
from storekeeper.ledger.tables import applied_catalogues


@dataclass(frozen=True, slots=True)
class AppliedCatalogue:
    """A catalogue that `migrate` applied: sha256 of its declarations, its version, the names of its domains."""

    digest: str
    version: str
    domains: tuple[str, ...]
    applied_at: datetime


def record_catalogue(catalog: Catalog) -> sa.Insert:
    """Notes that this catalogue was applied."""
    return sa.insert(applied_catalogues).values(
        digest=catalog.digest(), version=catalog.version, domains=[domain.name for domain in catalog.domains]
    )


def newest_catalogue() -> sa.Select[Any]:
    """The catalogue in force, as one row for `decode_catalogue`; no row before the first `migrate`."""
    table = applied_catalogues
    return (
        sa.select(table.c.digest, table.c.version, table.c.domains, table.c.applied_at)
        .order_by(table.c.id.desc())
        .limit(1)
    )


def decode_catalogue(row: Sequence[Any] | None) -> AppliedCatalogue | None:
    """The value of one row of `newest_catalogue`."""
    return None if row is None else AppliedCatalogue(row[0], row[1], tuple(row[2]), row[3])


def record_rollback(undone: str) -> sa.Insert:
    """Notes that revisions were taken back: no catalogue is in force until the next `migrate`."""
    return sa.insert(applied_catalogues).values(digest="0" * 64, version=f"rolled back: {undone}", domains=[])
