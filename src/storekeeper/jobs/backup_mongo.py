"""Makes a full backup of the mongo store."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from storekeeper.jobs.backing_up import backed_up
from storekeeper.jobs.job import Steps

if TYPE_CHECKING:
    from storekeeper.platform import Platform


def run(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields one action: the backup, or why there is none."""
    return backed_up(platform, "mongo", as_of=as_of, dry_run=dry_run)
