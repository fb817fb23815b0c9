"""Which engine a server is good for: by the extension, its edition, its version and what it can do. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from storekeeper.errors import DriftError, NotSupportedError
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.hypertables import HypertablesEngine
from storekeeper.timescale.partitions import PartitionsEngine
from storekeeper.timescale.spellings import OLDEST, parsed
from storekeeper.timescale.statement import Inspection, Statement

#: The edition that has the columnstore and continuous aggregates, as `timescaledb.license` calls it.
COMMUNITY: Final = "timescale"
#: What the engine calls; of older or cut-down builds one may be missing.
_NEEDED: Final = (
    "by_range",
    "compress_chunk",
    "create_chunk",
    "create_hypertable",
    "drop_chunks",
    "refresh_continuous_aggregate",
    "set_chunk_time_interval",
    "time_bucket",
)

_PROBE = """
SELECT extension.extversion, extension.extnamespace::regnamespace::text,
       (SELECT default_version FROM pg_catalog.pg_available_extensions WHERE name = 'timescaledb'),
       current_setting('timescaledb.license', true),
       ARRAY(SELECT needed.name FROM unnest(CAST(:needed AS text[])) AS needed (name)
             WHERE extension.oid IS NOT NULL AND NOT EXISTS (
                 SELECT FROM pg_catalog.pg_proc AS function
                 JOIN pg_catalog.pg_depend AS link ON link.objid = function.oid AND link.deptype = 'e'
                     AND link.classid = 'pg_catalog.pg_proc'::regclass AND link.refobjid = extension.oid
                 WHERE function.proname = needed.name)
             ORDER BY 1)
FROM (SELECT) AS server
LEFT JOIN pg_catalog.pg_extension AS extension ON extension.extname = 'timescaledb'"""

_COMMUNITY_WANTED = (
    "install the Community edition, set `timescaledb.license = 'timescale'` and migrate into a new database; "
    "or go on without"
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a server says of timescaledb: the version in this database (None: it is not in it), the schema of its
    functions, the version that could be put in, the edition ("timescale", "apache"), functions that are not there."""

    version: str | None = None
    schema: str = "public"
    available: str | None = None
    license: str | None = COMMUNITY
    missing: tuple[str, ...] = ()

    @property
    def obstacle(self) -> tuple[str, str]:
        """Why its hypertables cannot be used, and what to do about it; both empty where they can."""
        if self.version is None and self.available is None:
            return "the server has no timescaledb extension", "install TimescaleDB 2.14 or newer, or go on without"
        if self.version is None:
            return (
                f"timescaledb {self.available} is on the server, and not in this database",
                "run `CREATE EXTENSION timescaledb` in it before the first migration, or go on without",
            )
        if parsed(self.version) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            return f"timescaledb {self.version} is older than {oldest}", f"update it to {oldest} or newer"
        if self.license != COMMUNITY:
            edition = f"the {self.license} edition" if self.license else "not loaded"
            return f"timescaledb {self.version} is {edition}: no columnstore, no rollups of its own", _COMMUNITY_WANTED
        if self.missing:
            return f"timescaledb {self.version} has no {', '.join(self.missing)}", "install a complete build of it"
        return "", ""


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine, and whether the store has it on record."""

    engine: Engine
    recorded: bool


def probe() -> Inspection[Found]:
    """Asks a server, in any database and by any role."""

    def decode(rows: Sequence[Any]) -> Found:
        ((version, schema, available, edition, missing),) = rows
        return Found(version, schema or "public", available, edition, tuple(missing))

    return Inspection(Statement(_PROBE, {"needed": list(_NEEDED)}), decode)


def choose_engine(found: Found | None, forced: str | None) -> Engine:
    """The engine for a server of which this was found (None: nothing was asked), or the forced one.

    Hypertables wherever they can be used, else partitions, which say why. Raises NotSupportedError where hypertables
    are forced and cannot be used.
    """
    found = found or Found()
    obstacle, hint = found.obstacle
    if forced == "partitions":
        return PartitionsEngine(note="" if obstacle else f"as set; the server has timescaledb {found.version}")
    if not obstacle:
        assert found.version is not None
        return HypertablesEngine(parsed(found.version), found.schema)
    if forced == "hypertables":
        raise NotSupportedError(obstacle, operation="choose engine", target="hypertables", hint=hint)
    return PartitionsEngine(note=f"{obstacle}: {hint}")


def engine_of(found: Found, recorded: str | None, forced: str | None) -> Choice:
    """The engine on record, else the one that the server is good for, or that is forced.

    Raises DriftError where the record and the server, or the setting, disagree; NotSupportedError where hypertables
    are forced on a server that has none.
    """
    if recorded is None:
        return Choice(choose_engine(found, forced), recorded=False)
    if forced is not None and forced != recorded:
        raise DriftError(
            f"is set to {forced}, and this store was made with {recorded}",
            operation="choose engine",
            target="timescale",
            hint=f'set `engine = "{recorded}"`, or leave it out; to change engines, load the data into a new store',
        )
    if recorded == "hypertables" and found.obstacle[0]:
        raise DriftError(
            f"the store was made with hypertables, and {found.obstacle[0]}",
            operation="choose engine",
            target="timescale",
            hint="check the URL; a restored database needs the extension that it was made with",
        )
    return Choice(engine_on_record(found, recorded), recorded=True)


def engine_on_record(found: Found, recorded: str) -> Engine:
    """The engine of this name, in the words of what the server has now."""
    if recorded == "hypertables":
        return HypertablesEngine(parsed(found.version or ""), found.schema)
    obstacle, hint = found.obstacle
    if obstacle:
        return PartitionsEngine(note=f"{obstacle}: {hint}")
    return PartitionsEngine(
        note=f"the server has timescaledb {found.version}, and this store was made without it; "
        "to change engines, load the data into a new store"
    )
