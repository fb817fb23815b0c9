"""outbox list: what is not delivered to the other stores yet, and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from storekeeper.cli.options import CatalogPath, Directory, Json, opened
from storekeeper.cli.output import briefly, console, counted, emit_json, table

app = typer.Typer(help="What is on its way to the other stores.", no_args_is_help=True)


@app.command("list")
def list_undelivered(
    failed: Annotated[bool, typer.Option("--failed", help="Only what an attempt has failed for.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many effects.")] = 50,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """The effects that are not delivered, oldest first: attempts, the reason of the last failure, the next attempt."""
    with opened(directory, catalog, as_json=as_json, stores=("postgres",)) as platform:
        from storekeeper.relay.delivering import undelivered, waiting

        rows = undelivered(platform, limit, failed_only=failed)
        left, unknown = waiting(platform)
        if as_json:
            # the payload is left out: it may hold what identifies a person
            shown = [{name: value for name, value in asdict(row).items() if name != "payload"} for row in rows]
            emit_json({"undelivered": left, "unknown": unknown, "effects": shown})
            return
        table(
            "",
            ("position", "effect", "key", "recorded (UTC)", "failed", "reason", "next attempt (UTC)"),
            [
                (
                    row.position,
                    row.effect,
                    row.key,
                    row.recorded_at.replace(microsecond=0),
                    row.attempts,
                    briefly(row.last_error or ""),
                    row.next_attempt_at and row.next_attempt_at.replace(microsecond=0),
                )
                for row in rows
            ],
        )
        if len(rows) < left and not failed:
            console().print(f"{counted(left, 'effect')} in all; --limit shows more")
        for effect in unknown:
            console().print(f"{effect}: no domain of the catalogue declares it, so it stays")
        if not rows:
            console().print("no attempt has failed" if failed and left else "everything is delivered")
