"""backup now | list | check."""

from __future__ import annotations

from typing import Annotated

import typer

from storekeeper.cli.failing import reported
from storekeeper.cli.jobs import run_one
from storekeeper.cli.options import AsOf, CatalogPath, Directory, DryRun, Json
from storekeeper.cli.output import console, emit_json, size, table
from storekeeper.errors import InputError

STORES = ("postgres", "timescale", "mongo", "redis")

app = typer.Typer(help="Makes, lists and checks backups.", no_args_is_help=True)


@app.command("now")
def now(
    store: Annotated[str, typer.Argument(help=", ".join(STORES))],
    as_of: AsOf = None,
    dry_run: DryRun = False,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Makes a full backup of the server of a store, as `jobs run backup-STORE` does."""
    with reported(as_json=as_json):
        if store not in STORES:
            raise InputError("no such store", operation="back up", target=store, hint=f"one of {', '.join(STORES)}")
    run_one(f"backup-{store}", as_of, dry_run, directory, catalog, as_json)


@app.command("list")
def list_all(directory: Directory = None, as_json: Json = False) -> None:
    """Every backup in the repository, oldest first, damaged ones too."""
    with reported(as_json=as_json):
        from storekeeper.backups import list_backups, repository_at
        from storekeeper.settings import Settings

        found = list_backups(repository_at(Settings.load(directory=directory)))
        if as_json:
            emit_json(
                [
                    {
                        "server": backup.server,
                        "label": backup.label,
                        "bytes": None if backup.manifest is None else backup.manifest.bytes,
                        "stores": [] if backup.manifest is None else list(backup.manifest.stores),
                        "problem": None if backup.problem is None else str(backup.problem),
                    }
                    for backup in found
                ]
            )
            return
        rows = [
            (
                backup.server,
                backup.label,
                "" if backup.manifest is None else backup.manifest.started.replace(microsecond=0),
                "" if backup.manifest is None else ", ".join(backup.manifest.stores),
                "" if backup.manifest is None else size(backup.manifest.bytes),
                "damaged: " + backup.problem.cause if backup.problem else "checksummed, never restored: unverified",
            )
            for backup in found
        ]
        if rows:
            table("", ("server", "label", "taken (UTC)", "stores", "size", "state"), rows, right=("size",))
        else:
            console().print("no backup yet; `storekeeper backup now postgres` makes one")


@app.command("check")
def check(
    server: Annotated[str, typer.Argument(help="The server, as `backup list` names it.")],
    label: Annotated[str, typer.Argument(help="The backup's label.")],
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """Reads every file of a backup and compares it with its checksum."""
    with reported(as_json=as_json):
        from storekeeper.backups import check_backup, repository_at
        from storekeeper.settings import Settings

        manifest = check_backup(repository_at(Settings.load(directory=directory)), server, label)
        if as_json:
            emit_json({"server": server, "label": label, "files": len(manifest.files), "bytes": manifest.bytes})
        else:
            console().print(
                f"{server}/{label}: {len(manifest.files)} files, {size(manifest.bytes)}, as their checksums say"
            )
