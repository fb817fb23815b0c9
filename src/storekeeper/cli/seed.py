"""seed: the first rows of a domain."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from storekeeper.cli.options import CatalogPath, Directory, Json, opened
from storekeeper.cli.output import console, emit_json, table


def seed(
    domain: Annotated[str | None, typer.Argument(help="The domain.", show_default="all that have seed data")] = None,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Writes the first rows of a domain. What is there stays: a second run makes none."""
    from storekeeper.migrations import seeding

    with opened(directory, catalog, as_json=as_json, stores=("postgres",)) as platform:
        done = seeding.seed(platform, domain)
        if as_json:
            emit_json({"seeded": [asdict(one) for one in done]})
            return
        rows = [(one.domain, name, count) for one in done for name, count in one.rows.items()]
        table("Rows made", ("domain", "table", "rows"), rows)
        if not rows:
            console().print("no domain of this catalogue has seed data" if not done else "nothing to make")
