"""audit list | verify: what must be answered for, and whether it is what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from storekeeper.cli.options import CatalogPath, Directory, Json, opened
from storekeeper.cli.output import console, counted, emit_json, table
from storekeeper.errors import AuditError, NotMigratedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storekeeper.ledger.audit import Action, Detail
    from storekeeper.ledger.audit_chain import Finding
    from storekeeper.platform import Platform

app = typer.Typer(help="What must be answered for, and whether it is what was written.", no_args_is_help=True)

#: Findings that are shown; all are counted.
_SHOWN = 100


@app.command("list")
def list_rows(
    action: Annotated[str | None, typer.Option("--action", help="Only this action, such as role_changed.")] = None,
    subject_id: Annotated[str | None, typer.Option("--subject", metavar="ID", help="Only what was done to it.")] = None,
    actor: Annotated[str | None, typer.Option("--actor", metavar="ID", help="Only what this user did.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many rows.")] = 50,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """The audit log, newest first: ids and digests, never what identifies a person."""
    with opened(directory, catalog, as_json=as_json, stores=("postgres",)) as platform:
        from dataclasses import asdict

        from storekeeper.stores.postgres.audit_chain import listed

        rows = listed(platform.postgres, limit, action=action, subject_id=subject_id, actor=actor)
        if as_json:
            emit_json([asdict(row) for row in rows])
            return
        table(
            "",
            ("at (UTC)", "action", "subject", "id", "by", "request", "role", "detail"),
            [
                (
                    row.at.replace(microsecond=0),
                    row.action,
                    row.subject,
                    row.subject_id,
                    row.actor,
                    row.request_id,
                    row.db_role,
                    ", ".join(f"{name} {value}" for name, value in row.detail.items()),
                )
                for row in rows
            ],
        )
        if not rows:
            console().print("nothing was noted")


@app.command("verify")
def verify(
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect", metavar="POSITION:HASH", help="What an earlier check printed, and you kept elsewhere."
        ),
    ] = None,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Computes the hash chain over the audit log anew. A changed, missing or inserted row exits with 9.

    A chain that lost its end, or that the owner of the database computed anew, is found by --expect alone.
    """
    with opened(directory, catalog, as_json=as_json, stores=("postgres",)) as platform:
        from dataclasses import asdict

        from storekeeper.ledger.audit_chain import Anchor
        from storekeeper.stores.postgres.audit_chain import verify as verified

        found: list[Finding] = []

        def tell(finding: Finding) -> None:
            if len(found) < _SHOWN:
                found.append(finding)

        verdict = verified(platform.postgres, tell, None if expect is None else Anchor.parse(expect))
        if as_json:
            counts = {"sealed": verdict.sealed, "pending": verdict.pending, "findings": verdict.findings}
            emit_json(counts | {"head": str(verdict.head), "shown": [asdict(finding) for finding in found]})
        else:
            columns = ("finding", "row", "position", "what")
            table("", columns, [(f.kind, f.row_id, f.position, f.cause) for f in found])
            waiting = f", {verdict.pending:,} not sealed yet" if verdict.pending else ""
            console().print(f"{counted(verdict.sealed, 'row')} sealed{waiting}; head {verdict.head}")
        if verdict.findings:
            only_waiting = verdict.findings <= _SHOWN and all(finding.kind == "unsealed" for finding in found)
            raise AuditError(
                counted(verdict.findings, "finding"),
                operation="verify",
                target="storekeeper.audit_log",
                hint="`storekeeper run` seals what waits, and so does `storekeeper jobs run audit`"
                if only_waiting
                else "keep the database as it is, and compare it with a backup",
            )


def noted(
    platform: Platform, action: Action, *, subject: str, subject_id: str, detail: Mapping[str, Detail] | None = None
) -> None:
    """Appends what a command does to the audit log, in a transaction of its own; before the log is there, nothing."""
    from storekeeper.stores.postgres.audit import audit

    try:
        with platform.postgres.begin(operation="append to", target="storekeeper.audit_log") as connection:
            audit(connection, action, subject=subject, subject_id=subject_id, detail=detail or {})
    except NotMigratedError:
        return  # a database that is older than the log, or has nothing in it yet
