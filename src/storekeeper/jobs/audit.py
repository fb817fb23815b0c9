"""Seals the audit log: what was committed since the last run goes into the hash chain."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from storekeeper.jobs.job import Action, Steps
from storekeeper.stores.postgres.audit_chain import pending, seal_pending

if TYPE_CHECKING:
    from storekeeper.platform import Platform

_log = logging.getLogger("storekeeper.audit")


def run(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields one action where there was something to seal, whatever the run's `as_of`.

    The head of the chain goes to the log "storekeeper.audit": shipped off the machine, those lines are the anchors that
    `audit verify --expect` takes.
    """
    if dry_run:
        if waiting := pending(platform.postgres):
            yield Action("seal", "storekeeper.audit_log", rows=waiting)
        return
    if (sealed := seal_pending(platform.postgres)) is not None:
        _log.info("sealed up to %s", sealed.head)
        yield Action("seal", "storekeeper.audit_log", f"up to {sealed.head.position}", rows=sealed.rows)
