"""migrate: brings the stores to what the catalogue declares."""

from __future__ import annotations

import sys
from dataclasses import asdict, astuple
from typing import Annotated

import typer

from storekeeper.cli.failing import reported
from storekeeper.cli.options import CatalogPath, Directory, Json, opened
from storekeeper.cli.output import console, counted, emit_json, table
from storekeeper.errors import InputError

app = typer.Typer(help="Brings all stores to what the catalogue declares.", invoke_without_command=True)


@app.callback()
def migrate(
    context: typer.Context,
    plan: Annotated[bool, typer.Option("--plan", help="Print the steps, and change nothing.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Make a missing database first.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Also drop what nobody declares.")] = False,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Applies the pending revisions of both SQL stores and reconciles MongoDB. A second run changes nothing."""
    if context.invoked_subcommand is not None:
        return
    from storekeeper import migrations

    if create:
        from storekeeper.settings import Settings

        with reported(as_json=as_json):
            if plan:
                raise InputError(
                    "--plan changes nothing, and --create makes a database",
                    operation="migrate",
                    hint="give one of them",
                )
            for name in migrations.create_databases(Settings.load(directory=directory)):
                console(stderr=True).print(f"created database {name}")
    with opened(directory, catalog, as_json=as_json, stores=("postgres", "timescale", "mongo")) as platform:
        wanted = migrations.plan(platform, prune=prune)
        steps = wanted.todo if plan else migrations.apply(platform, wanted).steps
        if as_json:
            emit_json(
                {
                    "applied": not plan,
                    "steps": [asdict(step) for step in steps],
                    "reported": [asdict(step) for step in wanted.reported],
                }
            )
            return
        if steps:
            title = f"{'To do' if plan else 'Done'}: {counted(len(steps), 'step')}"
            table(title, ("store", "action", "target", "detail"), [astuple(step) for step in steps])
        else:
            console().print("nothing to do: postgres, timescale and mongo are as the catalogue declares")
        for step in wanted.reported:
            console().print(f"{step.store}: {step.target}: {step.detail}")


@app.command("rollback")
def rollback(
    domain: Annotated[str, typer.Argument(help="The domain whose revisions go back.")],
    steps: Annotated[int, typer.Argument(min=1, help="How many revisions.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: what these revisions made is dropped.")] = False,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Takes back the newest revisions of a domain, in both SQL stores. What they made is dropped."""
    from storekeeper import migrations

    with opened(directory, catalog, as_json=as_json, stores=("postgres", "timescale", "mongo")) as platform:
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"Drop what the newest revisions of {domain} made?")):
            raise InputError(
                "it drops tables with their rows", operation="migrate rollback", target=domain, hint="say so with --yes"
            )
        undone = migrations.rollback(platform, domain, steps)
        if as_json:
            emit_json({"undone": list(undone)})
        else:
            console().print("\n".join(f"undone: {step}" for step in undone) or "nothing to undo")
