"""migrate: brings the stores to what the catalogue declares."""

from __future__ import annotations

import sys
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from storekeeper.cli.audit import noted
from storekeeper.cli.failing import reported
from storekeeper.cli.options import CatalogPath, Directory, Json, opened
from storekeeper.cli.output import console, counted, emit_json, table
from storekeeper.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from storekeeper.migrations import Step

app = typer.Typer(help="Brings all stores to what the catalogue declares.", invoke_without_command=True)

Target = Annotated[str, typer.Argument(metavar="DOMAIN@R", help="A revision, such as deals@0003; deals@base for none.")]
OfStore = Annotated[
    Literal["postgres", "timescale"] | None, typer.Option("--store", help="Only this store.", show_default="both")
]


@app.callback()
def migrate(
    context: typer.Context,
    plan: Annotated[bool, typer.Option("--plan", help="Print the steps, and change nothing.")] = False,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DOMAIN@R", help="Only a domain's revisions, up to this one.")
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Make a missing database first.")] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Also drop what nobody declares, policies of a TimescaleDB server's among it."),
    ] = False,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Applies the pending revisions of both SQL stores and reconciles MongoDB. A second run changes nothing."""
    if context.invoked_subcommand is not None:
        return
    from storekeeper import migrations

    with reported(as_json=as_json):
        if create and plan:
            raise InputError(
                "--plan changes nothing, and --create makes a database", operation="migrate", hint="give one of them"
            )
        if to is not None and prune:
            raise InputError(
                "--to applies revisions alone, and --prune is of what has none",
                operation="migrate",
                hint="give one of them",
            )
        if create:
            from storekeeper.settings import Settings

            for name in migrations.create_databases(Settings.load(directory=directory)):
                console(stderr=True).print(f"created database {name}")
    with opened(
        directory, catalog, as_json=as_json, stores=("postgres", "timescale", "mongo"), role="owner"
    ) as platform:
        wanted = migrations.plan(platform, prune=prune, to=to)
        if prune and wanted.todo and not plan:
            noted(
                platform,
                "destructive_confirmed",
                subject="storekeeper.migrate",
                subject_id="prune",
                detail={"steps": len(wanted.todo)},
            )
        steps = wanted.todo if plan else migrations.apply(platform, wanted, tell=_telling(as_json)).steps
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
            what = f"{to} is applied" if to else "postgres, timescale and mongo are as the catalogue declares"
            console().print(f"nothing to do: {what}")
        for step in wanted.reported:
            console().print(f"{step.store}: {step.target}: {step.detail}")


@app.command("new")
def new(
    domain: Annotated[str, typer.Argument(help="The domain that the revision is of.")],
    message: Annotated[str, typer.Option("--message", "-m", help="What it does, in a sentence.")],
    store: Annotated[
        Literal["postgres", "timescale"], typer.Option("--store", help="The store that it changes.")
    ] = "postgres",
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Writes the next revision of a domain into its package: what its tables lack, as SQL to be read and changed."""
    from storekeeper.migrations.writing import write_revision

    with reported(as_json=as_json):
        written = write_revision(domain, message, store=store, directory=directory, catalog=catalog)
    if as_json:
        emit_json(asdict(written))
        return
    console().print(f"wrote {written.path}")
    for hint in written.hints:
        console().print(hint)


@app.command("status")
def status(directory: Directory = None, catalog: CatalogPath = None, as_json: Json = False) -> None:
    """Where each branch of each SQL store is, what is pending, unknown or not as declared, and what is under way."""
    from storekeeper import migrations

    with opened(
        directory, catalog, as_json=as_json, stores=("postgres", "timescale", "mongo"), role="owner"
    ) as platform:
        found = migrations.standing(platform)
        if as_json:
            emit_json(asdict(found))
            return
        rows = [(b.store, b.domain, b.current or "nothing", ", ".join(b.pending)) for b in found.branches]
        table("Revisions", ("store", "domain", "at", "pending"), rows)
        for name in found.strangers:
            console().print(f"{name}: of a domain that is not in this catalogue: left as it is")
        for running in found.backfills:
            far = (
                f"{running.seen:,} of about {max(running.about, running.seen):,} rows, since {running.began_at:%F %T}Z"
            )
            console().print(f"under way: back-fill {running.name} of {running.table} by {running.revision}: {far}")
        for line in found.drift:
            console().print(f"drift: {line}")
        if not found.drift and not any(b.pending for b in found.branches):
            console().print("all is applied, and as declared")


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

    with opened(
        directory, catalog, as_json=as_json, stores=("postgres", "timescale", "mongo"), role="owner"
    ) as platform:
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"Drop what the newest revisions of {domain} made?")):
            raise InputError(
                "it drops tables with their rows", operation="migrate rollback", target=domain, hint="say so with --yes"
            )
        noted(
            platform,
            "destructive_confirmed",
            subject="storekeeper.migrate",
            subject_id="rollback",
            detail={"domain": domain, "steps": steps},
        )
        undone = migrations.rollback(platform, domain, steps, tell=_telling(as_json))
        if as_json:
            emit_json({"undone": list(undone)})
        else:
            console().print("\n".join(f"undone: {step}" for step in undone) or "nothing to undo")


@app.command("stamp")
def stamp(
    target: Target,
    store: OfStore = None,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Notes that a domain is at a revision, and runs nothing: for tables that were made by other means."""
    from storekeeper import migrations

    with opened(
        directory, catalog, as_json=as_json, stores=("postgres", "timescale", "mongo"), role="owner"
    ) as platform:
        changes = migrations.stamp(platform, target, store=store)
        if as_json:
            emit_json({"stamped": list(changes)})
        else:
            console().print("\n".join(f"stamped: {change}" for change in changes) or "nothing to note: it is there")


@app.command("fresh")
def fresh(
    destroy: Annotated[
        str | None,
        typer.Option("--yes-destroy", metavar="NAME", help="The name of the database whose contents may go."),
    ] = None,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Drops all that the catalogue's domains and the platform have in every store, and migrates anew.

    On the embedded stack; elsewhere, or where rows have to be kept, only with --yes-destroy.
    """
    from storekeeper import migrations

    with opened(directory, catalog, as_json=as_json, role="owner") as platform:
        dropped = migrations.drop_everything(platform, destroy=destroy)
        steps = migrations.apply(platform, tell=_telling(as_json)).steps
        # in the new log, since the old one went too
        noted(platform, "destructive_confirmed", subject="storekeeper.migrate", subject_id="fresh")
        if as_json:
            emit_json({"dropped": list(dropped), "steps": [asdict(step) for step in steps]})
            return
        for line in dropped:
            console().print(f"dropped {line}")
        console().print(f"migrated anew: {counted(len(steps), 'step')}")


def _telling(as_json: bool) -> Callable[[Step], None] | None:
    """People see what an online revision is at; steps of other kinds are listed when they are done."""
    if as_json:
        return None
    shown = console(stderr=True)

    def tell(step: Step) -> None:
        if step.action in ("online", "wait"):
            shown.print(f"{step.target}: {step.detail}")

    return tell
