"""demo: the main job, end to end, on the market data that ships with the package."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from storekeeper.cli.failing import reported
from storekeeper.errors import ServerError

DIRECTORY = Path(".storekeeper-demo")
#: Marks a directory that the demo made, and may therefore empty.
MARK = "made-by-storekeeper-demo"


def demo(
    directory: Annotated[
        Path, typer.Option("--dir", help="Where the demo's servers, backups and picture go; emptied at each start.")
    ] = DIRECTORY,
) -> None:
    """Starts four real servers, loads real prices, lets nights pass, and shows what analysts and services see.

    Everything stays below one directory, and every server stops at the end. Takes less than a minute.
    """
    with reported(as_json=False):
        fresh(directory)
        # matplotlib keeps a cache of fonts: below the demo's directory, not in the reader's home
        os.environ.setdefault("MPLCONFIGDIR", str((directory / "matplotlib").absolute()))
        # imported here: a look at `--help` needs none of it
        from storekeeper.cli.demo.play import play

        play(directory)


def fresh(directory: Path) -> None:
    """An empty directory of the demo's own. Raises ServerError where somebody else's files, or a running stack, are."""
    from storekeeper.servers import read_stack, stop_stack

    if directory.exists() and any(directory.iterdir()):
        if not (directory / MARK).exists():
            raise ServerError(
                "is not empty, and the demo did not make it",
                operation="demo in",
                target=str(directory),
                hint="give a directory of its own: storekeeper demo --dir DIR",
            )
        if read_stack(directory) is not None:
            stop_stack(directory)
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / MARK).touch()
