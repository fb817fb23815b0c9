"""What each role may do to the platform's own tables, and no more. None but the owner may truncate any.

A table that is not listed here belongs to migrations: jobs may read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

READ: Final = ("SELECT",)
APPEND: Final = ("SELECT", "INSERT")
WRITE: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class Rights:
    """By role; nothing where it is not named. `given` are the columns that an INSERT may name, where not all are: what
    the server numbers and dates, nobody else does."""

    app: tuple[str, ...] = ()
    analyst: tuple[str, ...] = ()
    jobs: tuple[str, ...] = READ
    given: tuple[str, ...] = ()


RIGHTS: Final[Mapping[str, Rights]] = {
    "runs": Rights(jobs=WRITE),  # quiet jobs take back what is a week old
    "applied_catalogues": Rights(app=READ, analyst=READ),
    "ingested_files": Rights(jobs=APPEND),
    "ingested_series_files": Rights(jobs=APPEND),
    # bars are right whether or not a refresh has run: whoever reads them asks what changed, and what is gone
    "watermarks": Rights(app=READ, analyst=READ, jobs=("SELECT", "UPDATE")),
    "invalidations": Rights(app=READ, analyst=READ, jobs=WRITE),
    "engines": Rights(app=READ, analyst=READ),
    # whoever reads rows is told which of them lie in the cold tier
    "archives": Rights(app=READ, analyst=READ, jobs=WRITE),
    "archived_parts": Rights(app=READ, analyst=READ, jobs=WRITE),
    "archived_files": Rights(app=READ, analyst=READ, jobs=WRITE),
    # a service records what others shall see, and neither reads nor takes back what it recorded
    "outbox": Rights(app=("INSERT",), jobs=WRITE, given=("effect", "key", "payload")),
    "audit_log": Rights(app=("INSERT",), jobs=APPEND, given=("action", "subject", "subject_id", "detail")),
    "audit_chain": Rights(jobs=APPEND),
    "audit_pending": Rights(jobs=("SELECT", "DELETE")),
}


def rights_on(table: str) -> Rights:
    """Of one table of the schema `storekeeper`."""
    return RIGHTS.get(table, Rights())
