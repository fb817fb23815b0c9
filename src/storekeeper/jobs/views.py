"""Refreshes every materialized view, while its readers go on."""

from __future__ import annotations

from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING

import sqlalchemy as sa

from storekeeper.catalog import MaterializedView
from storekeeper.errors import NotMigratedError
from storekeeper.jobs.each import each
from storekeeper.jobs.job import Action, Steps
from storekeeper.timescale.quoting import qualified

if TYPE_CHECKING:
    from storekeeper.platform import Platform

#: Another refresh of the same view, by hand, is waited for.
_REFRESHING = {"lock_timeout": "30s"}

_POPULATED = "SELECT relispopulated FROM pg_catalog.pg_class WHERE oid = to_regclass(:view) AND relkind = 'm'"


def run(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields one action a view. It shows what the tables hold now: `as_of` changes nothing of that."""
    return each(platform.catalog.views, lambda view: _refreshed(platform, view, dry_run=dry_run))


def _refreshed(platform: Platform, view: MaterializedView, *, dry_run: bool) -> Steps:
    name = qualified(view.table.schema or "", view.table.name)
    local = {**platform.postgres.as_owner, **_REFRESHING}
    with platform.postgres.begin(timeout=None, operation="refresh", target=view.name, local=local) as connection:
        populated = connection.execute(sa.text(_POPULATED), {"view": name}).scalar_one_or_none()
        if populated is None:
            raise NotMigratedError(operation="refresh", target=view.name, hint="run `storekeeper migrate`")
        # the server refuses CONCURRENTLY for a view that has never held anything, and nobody can read it
        how = "concurrently" if populated else "for the first time"
        if dry_run:
            yield Action("refresh", view.name, how)
            return
        started = monotonic()
        connection.execute(sa.text(f"REFRESH MATERIALIZED VIEW {'CONCURRENTLY ' if populated else ''}{name}"))
        seconds = monotonic() - started
        rows = connection.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar_one()
    yield Action("refresh", view.name, f"{how}, in {seconds:.1f} s", rows=rows)
