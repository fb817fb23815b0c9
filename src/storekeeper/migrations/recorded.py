"""Which catalogue the stores were migrated to, and whether this process has the same."""

from __future__ import annotations

import sqlalchemy as sa

from storekeeper.ledger.catalogues import AppliedCatalogue, decode_catalogue, newest_catalogue
from storekeeper.ledger.tables import applied_catalogues
from storekeeper.platform import Platform


def catalogue_on(connection: sa.Connection) -> AppliedCatalogue | None:
    """The catalogue that was applied last; None before the first migration."""
    if connection.scalar(sa.text("SELECT to_regclass(:table)"), {"table": applied_catalogues.fullname}) is None:
        return None
    return decode_catalogue(connection.execute(newest_catalogue()).one_or_none())


def applied_catalogue(platform: Platform) -> AppliedCatalogue | None:
    """The catalogue that was applied last; None before the first migration."""
    with platform.postgres.begin(operation="read", target=applied_catalogues.fullname) as connection:
        return catalogue_on(connection)


def catalog_matches(platform: Platform) -> bool:
    """Whether the platform's catalogue is the one that was applied last: only then may anything be destroyed by it."""
    applied = applied_catalogue(platform)
    return applied is not None and applied.digest == platform.catalog.digest()
