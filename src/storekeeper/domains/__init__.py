"""The domains that ship with storekeeper, and the catalogue that is used where settings name no other."""

from __future__ import annotations

from storekeeper import BackupPolicy, Catalog, days, hours, weeks
from storekeeper.domains import deals, defi, invest, rooms

#: By store, as the data contract's table of backups says; `at` is the time of day in UTC.
BACKUPS = (
    BackupPolicy("postgres", full=days(1), at=hours(2), incremental=hours(6), continuous=True, keep=days(30)),
    BackupPolicy("timescale", full=weeks(1), continuous=True, keep=days(90)),
    BackupPolicy("redis", full=hours(1), keep=days(7)),
    BackupPolicy("mongo", full=days(1), continuous=True, keep=days(30)),
)

CATALOG = Catalog((deals.DOMAIN, defi.DOMAIN, invest.DOMAIN, rooms.DOMAIN), backups=BACKUPS)
