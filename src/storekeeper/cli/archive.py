"""archive list | verify: what lies in the cold tier, and whether it is what was written."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from storekeeper.cli.options import CatalogPath, Directory, Json, opened
from storekeeper.cli.output import console, counted, emit_json, size, table
from storekeeper.errors import ArchiveError

app = typer.Typer(help="Chunks that retention dropped, in the cold tier.", no_args_is_help=True)

Dataset = Annotated[str | None, typer.Argument(help="Of this dataset alone.")]

#: The exit code where a file is damaged, as that of an error of a store's.
DAMAGED = 3


@app.command("list")
def list_parts(
    dataset: Dataset = None, directory: Directory = None, catalog: CatalogPath = None, as_json: Json = False
) -> None:
    """What is archived, chunk by chunk in order of time: files, rows, bytes, where, and since when."""
    with opened(directory, catalog, as_json=as_json, stores=("timescale",)) as platform:
        parts = platform.timescale.archived_parts(dataset)
        if as_json:
            emit_json({"parts": [asdict(part) for part in parts]})
            return
        table(
            "",
            ("dataset", "from (UTC)", "to (UTC)", "files", "rows", "size", "place", "archived (UTC)", "chunk"),
            [
                (
                    part.dataset,
                    part.range.lower,
                    part.range.upper,
                    part.files,
                    part.rows,
                    size(part.bytes),
                    part.place,
                    part.archived_at.replace(microsecond=0),
                    "dropped" if part.dropped_at is not None else "still there",
                )
                for part in parts
            ],
            right=("files", "rows", "size"),
        )
        if not parts:
            console().print("nothing is archived")


@app.command("verify")
def verify(
    dataset: Dataset = None, directory: Directory = None, catalog: CatalogPath = None, as_json: Json = False
) -> None:
    """Reads every file and manifest, and compares them with what the store knows of them. Exits with 3 where one is
    missing or damaged."""
    damaged: list[dict[str, Any]] = []
    with opened(directory, catalog, as_json=as_json, stores=("timescale",)) as platform:
        parts = platform.timescale.archived_parts(dataset)
        for part in parts:
            try:
                platform.timescale.verify_archived(part)
            except ArchiveError as error:
                damaged.append({"dataset": part.dataset, "part": part.id, "target": error.target, "cause": error.cause})
        if as_json:
            emit_json({"well": not damaged, "parts": len(parts), "damaged": damaged})
        else:
            for one in damaged:
                console().print(f"{one['target']}: {one['cause']}", style="red", soft_wrap=True)
            files = counted(sum(part.files for part in parts), "file")
            console().print(f"{counted(len(damaged), 'chunk')} damaged" if damaged else f"{files}: all as written")
    if damaged:
        raise SystemExit(DAMAGED)
