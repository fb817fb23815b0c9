"""A manifest to try things with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from storekeeper.backups.manifest import Manifest, StoredFile

MOMENT = datetime(2014, 6, 8, 2, tzinfo=UTC)
MANIFEST = Manifest(
    label="20140608T020000Z-full",
    server="postgres",
    stores=("postgres", "timescale"),
    kind="full",
    engine="postgresql",
    server_version="18.6",
    identity="7710653070903542404",
    as_of=MOMENT,
    started=MOMENT,
    finished=MOMENT + timedelta(seconds=2),
    seconds=2.146,
    consistency="one moment",
    files=(StoredFile("data/PG_VERSION", 3, "ab" * 32), StoredFile("data/näme\udcff", 0, "cd" * 32)),
    empty_directories=("data/pg_notify",),
    bytes=3,
    storekeeper="0.1.0",
    position={"timeline": 1, "start_lsn": "0/7000028"},
    counts={"keys": 5},
    details={"tablespaces": [{"oid": 1, "location": "/x"}]},
    tools={"pg_basebackup": "18.6"},
    notes=("a note",),
)
