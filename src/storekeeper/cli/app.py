"""The command line's table of contents. Each command is in a file of its own, and imports what it needs when called."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from storekeeper import __version__
from storekeeper.cli import (
    archive,
    audit,
    backup,
    demo,
    doctor,
    ingest,
    jobs,
    keys,
    migrate,
    outbox,
    query,
    seed,
    stack,
    status,
)

EPILOG = (
    "Exit codes: 0 done, 2 wrong input or settings, 3 a store failed, 4 the life of a dataset forbids it,"
    " 5 a migration, 6 a job, 7 a backup, 8 an embedded server failed, 9 sealing or the audit log, 130 interrupted."
)

#: Every command and group, in the order in which a newcomer meets them.
ORDER = (
    "demo",
    "up",
    "down",
    "status",
    "env",
    "migrate",
    "seed",
    "ingest",
    "query",
    "jobs",
    "run",
    "outbox",
    "archive",
    "backup",
    "keys",
    "audit",
    "doctor",
)


class InOrder(TyperGroup):
    """Lists its commands in that order; by itself it would list single ones before groups."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in ORDER if name in self.commands]


app = typer.Typer(
    name="storekeeper",
    cls=InOrder,
    help="One data platform over PostgreSQL, TimescaleDB, MongoDB and Redis.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo", short_help="See it work, on real prices and servers of its own.")(demo.demo)
app.command("up", short_help="Start the embedded servers.")(stack.up)
app.command("down", short_help="Stop them; their data stays.")(stack.down)
app.command("status", short_help="Health, drift, sizes, last and next runs.")(status.status)
app.command("env", short_help="The URLs of the stores, as shell lines.")(stack.env)
app.add_typer(migrate.app, name="migrate", short_help="Bring all stores to what the catalogue declares.")
app.command("seed", short_help="Write the first rows of a domain.")(seed.seed)
app.command("ingest", short_help="Put files into a dataset, and set aside the rows that break a rule.")(ingest.ingest)
app.command("query", short_help="Bars, rows or documents: on the terminal, or into a file.")(query.query)
app.add_typer(jobs.app, name="jobs", short_help="List and run jobs; what ran, and how it ended.")
app.command("run", short_help="The scheduler, in the foreground.")(jobs.serve)
app.add_typer(outbox.app, name="outbox", short_help="What is on its way to the other stores.")
app.add_typer(archive.app, name="archive", short_help="What retention moved to the cold tier.")
app.add_typer(backup.app, name="backup", short_help="Make, list and check backups.")
app.add_typer(keys.app, name="keys", short_help="The keys that personal data is sealed with.")
app.add_typer(audit.app, name="audit", short_help="What must be answered for, and whether it is whole.")
app.command("doctor", short_help="What is wrong with settings and servers, and what to do.")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...
