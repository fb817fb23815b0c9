"""A full backup of one store as a job's steps; each store has a job of its own."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from storekeeper.backups import back_up_store
from storekeeper.catalog import StoreName
from storekeeper.jobs.job import Action, Skipped, Steps

if TYPE_CHECKING:
    from storekeeper.platform import Platform


def backed_up(platform: Platform, store: StoreName, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields the backup, named by its label in the repository; in a dry run its size is an estimate.

    Stores that share a server share its backups, by the stricter rule of the two: there `timescale` is content with one
    that is no older than its own interval.
    """
    rule = next((policy for policy in platform.catalog.backup_policies if policy.store == store), None)
    since = rule.full.before(as_of) if rule is not None and store == "timescale" else None
    made = back_up_store(platform, store, as_of=as_of, dry_run=dry_run, shared_since=since)
    target = f"{made.server}/{made.label}"
    for leftover in made.swept:
        yield Action("remove unfinished backup", f"{made.server}/{leftover}")
    if made.skipped_reason is not None:
        yield Skipped("back up", target, made.skipped_reason)
    else:
        yield Action("back up", target, made.detail, bytes=made.bytes)
