"""The table of contents of the defi domain."""

from __future__ import annotations

from storekeeper import Domain, DomainJob, TableLifecycle, days, hours, minutes, years
from storekeeper.domains.defi.entities import Base
from storekeeper.domains.defi.protection import PROTECTIONS

TABLES = Base.metadata.tables

DOMAIN = Domain(
    "defi",
    tables=(
        TABLES["defi.users"],
        TABLES["defi.positions"],
        TABLES["defi.signals"],
        TABLES["defi.alerts"],
        TABLES["defi.intents"],
        TABLES["defi.event_store"],
        TABLES["defi.event_archives"],
        TABLES["defi.archived_streams"],
    ),
    lifecycles=(
        # an alert outlives its signal: what it tells of that is its own
        TableLifecycle(TABLES["defi.signals"], expires="expires_at"),
        # nothing is dropped: the job below moves older events into files
        TableLifecycle(TABLES["defi.event_store"], since="occurred_at", keep_at_least=years(1)),
    ),
    protections=PROTECTIONS,
    jobs=(
        DomainJob(
            "defi.expire",
            "storekeeper.domains.defi.jobs:expire",
            minutes(1),
            "marks the signals and intents that have expired",
            quiet=True,
        ),
        DomainJob(
            "defi.signal-alerts",
            "storekeeper.domains.defi.jobs:alert_of_signals",
            minutes(1),
            "makes alerts of the signals that count, for whoever asked for their type",
            quiet=True,
        ),
        DomainJob(
            "defi.archive",
            "storekeeper.domains.defi.jobs:archive",
            days(1),
            "moves events that are older than a year into Parquet files",
            # after the night's full backup, which still has them
            at=hours(5),
            destructive=True,
        ),
    ),
    revisions="storekeeper.domains.defi.revisions",
)
