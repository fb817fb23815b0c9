"""up, down, env: the embedded stack."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from storekeeper.cli.failing import reported
from storekeeper.cli.options import Directory, Json, folder
from storekeeper.cli.output import console, emit_json


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all servers are ready.")] = False,
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """Starts PostgreSQL, Valkey and the MongoDB-protocol server as private children, and waits until they are ready.

    In the foreground they live until Ctrl-C; with --detach until `storekeeper down`.
    """
    with reported(as_json=as_json):
        from storekeeper.servers import detach_stack, run_stack

        place = folder(directory)
        if detach:
            state = detach_stack(place)
            if as_json:
                emit_json({"directory": str(place), "pid": state.pid})
            else:
                console().print(f"up: {place} (supervisor {state.pid}); next: storekeeper migrate{_dir(directory)}")
            return
        run_stack(place, on_ready=lambda stack: console(stderr=True).print(f"up: {stack.directory}; Ctrl-C stops it"))


def _dir(directory: Path | None) -> str:
    """The option that other commands need to find this stack."""
    return "" if directory is None else f" --dir {shlex.quote(str(directory))}"


def down(directory: Directory = None, as_json: Json = False) -> None:
    """Stops the servers of the embedded stack, in order; their data stays."""
    with reported(as_json=as_json):
        from storekeeper.servers import stop_stack

        place = folder(directory)
        stop_stack(place)
        if as_json:
            emit_json({"directory": str(place), "stopped": True})
        else:
            console().print(f"down: {place}")


def env(directory: Directory = None, as_json: Json = False) -> None:
    """The URLs of the stores and of their roles as shell lines, passwords included: eval "$(storekeeper env)"."""
    with reported(as_json=as_json):
        from storekeeper.platform.locating import ROLES, STORES, locate
        from storekeeper.settings import Settings

        settings = Settings.load(directory=directory)
        urls: dict[str, str] = {}
        for store in STORES:
            urls[f"STOREKEEPER_{store.upper()}_URL"] = own = locate(settings, store).url
            # a role that logs in as services do needs no line: that is the default
            others = {role: locate(settings, store, role).url for role in ROLES if role != "app"}
            urls |= {
                f"STOREKEEPER_{store.upper()}_{role.upper()}_URL": url for role, url in others.items() if url != own
            }
        if as_json:
            emit_json(urls)
            return
        for name, url in urls.items():
            typer.echo(f"export {name}={shlex.quote(url)}")
