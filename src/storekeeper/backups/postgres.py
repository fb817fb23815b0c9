"""PostgreSQL: a base backup of the whole cluster, as pg_basebackup writes it, in `data/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from storekeeper.backups.cluster import Cluster, Tablespace, connection_arguments
from storekeeper.backups.inventory import differences
from storekeeper.backups.manifest import Inventory, StoredFile
from storekeeper.backups.running import Errand, run
from storekeeper.backups.taken import Taken
from storekeeper.backups.tools import postgres_tool, postgres_tool_of
from storekeeper.errors import BackupError, CorruptBackupError

ENGINE = "postgresql"
DATA = "data"
_SERVER_MANIFEST = "backup_manifest"
# What the server's own list leaves out: itself, and the WAL that was streamed beside the files.
_NOT_LISTED = (_SERVER_MANIFEST, "pg_wal/")
_TABLESPACES_NOTE = (
    "tablespaces lie in data/pg_tblspc: move each to a place and link to it,"
    " or start with allow_in_place_tablespaces=on"
)


def take_base_backup(url: str, cluster: Cluster, folder: Path, errand: Errand) -> Taken:
    """Copies the cluster into folder/data, with the WAL that makes it consistent.

    Raises BackupError, MissingBinaryError.
    """
    tool = postgres_tool("pg_basebackup", major=cluster.major)
    connection, environment = connection_arguments(url)
    data, spaces = folder / DATA, folder / "tablespaces"
    located = [space for space in cluster.tablespaces if space.location.startswith("/")]
    for location in (space.location for space in located):
        if "=" in location:
            raise BackupError(f"the tablespace {location} has = in its path", operation="back up", target=errand.target)
    run(
        tool,
        [
            f"--dbname={connection}",
            "--no-password",
            f"--pgdata={data}",
            "--format=plain",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--manifest-checksums=SHA256",
            f"--label=storekeeper {errand.target}",
            "--no-sync",  # everything is synced once, when its checksum is taken
            "--no-clean",  # so that after a failure it can be seen how full the disk was; the repository cleans up
            *(f"--tablespace-mapping={space.location}={spaces / str(space.oid)}" for space in located),
        ],
        errand,
        environment=environment,
    )
    _bring_home(data, spaces, located)
    tools = {tool.name: tool.version, **_verified(cluster, data, errand)}
    listed = _server_manifest(data, errand.target)
    return Taken(
        engine=ENGINE,
        server_version=cluster.version,
        identity=cluster.system_identifier,
        consistency="one moment: the end of the base backup",
        position=_position(listed),
        details={
            "databases": dict(cluster.databases),
            "tablespaces": [{"oid": s.oid, "name": s.name, "location": s.location} for s in cluster.tablespaces],
        },
        tools=tools,
        notes=(_TABLESPACES_NOTE,) if located else (),
        confirm=lambda inventory: _confirm(listed, inventory, errand.target),
    )


def _bring_home(data: Path, spaces: Path, located: list[Tablespace]) -> None:
    """Puts each tablespace where its link is: a backup is one tree, which may be moved, and never points at the places
    that the live cluster uses. PostgreSQL's tools read this form too ("in-place tablespaces")."""
    for space in located:
        link = data / "pg_tblspc" / str(space.oid)
        link.unlink()
        (spaces / str(space.oid)).rename(link)
    if located:
        spaces.rmdir()


def _verified(cluster: Cluster, data: Path, errand: Errand) -> dict[str, str]:
    """Has the server's own tool check the copy. It reads WAL, whose format is another with each major version: where
    that very version is not installed, only our own comparison with the server's list (see _confirm) takes place."""
    tool = postgres_tool_of("pg_verifybackup", major=cluster.major)
    waldump = postgres_tool_of("pg_waldump", major=cluster.major)
    if tool is None or waldump is None or waldump.path.parent != tool.path.parent:
        return {}
    run(tool, ["--quiet", "--exit-on-error", str(data)], errand)
    return {tool.name: tool.version}


def _server_manifest(data: Path, target: str) -> dict[str, Any]:
    try:
        listed: dict[str, Any] = json.loads((data / _SERVER_MANIFEST).read_bytes())
    except ValueError as error:
        raise CorruptBackupError(f"{_SERVER_MANIFEST}: {error}", operation="back up", target=target) from error
    return listed


def _position(listed: dict[str, Any]) -> dict[str, Any]:
    """Where recovery begins, and from where on the copy is consistent."""
    first, last = listed["WAL-Ranges"][0], listed["WAL-Ranges"][-1]
    return {"timeline": last["Timeline"], "start_lsn": first["Start-LSN"], "end_lsn": last["End-LSN"]}


def _confirm(listed: dict[str, Any], inventory: Inventory, target: str) -> None:
    sent = tuple(
        StoredFile(
            file["Path"] if "Path" in file else bytes.fromhex(file["Encoded-Path"]).decode(errors="surrogateescape"),
            file["Size"],
            file["Checksum"],
        )
        for file in listed["Files"]
    )
    written = tuple(
        StoredFile(path, file.bytes, file.sha256)
        for file in inventory.files
        if not (path := file.path.removeprefix(f"{DATA}/")).startswith(_NOT_LISTED)
    )
    found = differences(Inventory(sent, ()), Inventory(written, ()))
    if found:
        raise CorruptBackupError(
            f"the copy is not what the server sent: {'; '.join(found[:5])}", operation="back up", target=target
        )
