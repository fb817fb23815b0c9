"""PostgreSQL without the right to copy it: a dump of each database, as pg_dump writes it, in `dump/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from storekeeper.backups.cluster import Cluster, connection_arguments
from storekeeper.backups.postgres import ENGINE
from storekeeper.backups.running import Errand, run
from storekeeper.backups.taken import Taken
from storekeeper.backups.tools import postgres_tool

DUMP = "dump"
GLOBALS = "globals.sql"


def take_dumps(urls: Mapping[str, str], cluster: Cluster, reason: str, folder: Path, errand: Errand) -> Taken:
    """Dumps databases of one server, each by the URL that stands at its name, and the roles without their passwords.

    `reason` is why it is no base backup. Raises BackupError, MissingBinaryError.
    """
    dump = postgres_tool("pg_dump", major=cluster.major)
    restore = postgres_tool("pg_restore", major=cluster.major)
    dumpall = postgres_tool("pg_dumpall", major=cluster.major)
    target = folder / DUMP
    target.mkdir(mode=0o700)
    for database, url in urls.items():
        connection, environment = connection_arguments(url)
        file = target / f"{quote(database, safe='')}.pgdump"
        arguments = [f"--dbname={connection}", "--no-password", "--format=custom", "--no-sync", f"--file={file}"]
        run(dump, arguments, errand, environment=environment)
        # reads every block of the archive, and unpacks it
        run(restore, ["--file=/dev/null", str(file)], errand)
    connection, environment = connection_arguments(next(iter(urls.values())))
    run(
        dumpall,
        [
            f"--dbname={connection}",
            "--no-password",
            "--globals-only",
            "--no-role-passwords",
            "--no-sync",
            f"--file={target / GLOBALS}",
        ],
        errand,
        environment=environment,
    )
    notes = [f"no point in time: {reason}"]
    if "timescaledb" in dict(cluster.extensions):
        notes.append("restore between timescaledb_pre_restore() and timescaledb_post_restore()")
    return Taken(
        engine=ENGINE,
        server_version=cluster.version,
        identity=cluster.system_identifier,
        consistency="one moment for each database: the snapshot of its dump",
        details={"databases": {name: size for name, size in cluster.databases if name in urls}},
        tools={tool.name: tool.version for tool in (dump, restore, dumpall)},
        notes=tuple(notes),
    )
