"""Which files were ingested into what: statements for the transaction that takes their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class IngestedFile:
    """A file whose rows are in a dataset. `rows` counts those it had, `rejected` those of them that were not taken."""

    file: str
    rows: int
    rejected: int
    ingested_at: datetime


def known(
    table: sa.Table, dataset: str, *, digest: str | None = None, packed_digest: str | None = None
) -> sa.Select[Any]:
    """The files of this content that were ingested into a dataset, the newest first: rows for `decode`.

    By the sha256 of the unpacked content, of the file as it lies, or of either.
    """
    same = [table.c.digest == digest] if digest is not None else []
    if packed_digest is not None:  # of a file that is not packed both are one
        same += [table.c.packed_digest == packed_digest, table.c.digest == packed_digest]
    return (
        sa.select(table.c.file, table.c.rows, table.c.rejected, table.c.ingested_at)
        .where(table.c.dataset == dataset, sa.or_(sa.false(), *same))
        .order_by(table.c.id.desc())
    )


def decode(row: Sequence[Any]) -> IngestedFile:
    """The value of one row of `known`."""
    return IngestedFile(*row)


def record(
    table: sa.Table,
    dataset: str,
    *,
    file: str,
    digest: str,
    packed_digest: str | None,
    rows: int,
    rejected: int,
) -> sa.Insert:
    """Notes a file, in the transaction that takes its rows."""
    return sa.insert(table).values(
        dataset=dataset, file=file, digest=digest, packed_digest=packed_digest, rows=rows, rejected=rejected
    )
