"""Watermarks, pending changes and the engine of the time-series store: statements for the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from storekeeper.ledger.tables import engines, invalidations, watermarks


@dataclass(frozen=True, slots=True)
class RecordedEngine:
    """The engine that the first migration chose, and the server's version of then."""

    engine: str
    server_version: str
    chosen_at: datetime


def record_engine(engine: str, server_version: str) -> sa.Insert:
    """Notes the engine; does nothing where one is noted already: it is chosen once."""
    return insert(engines).values(engine=engine, server_version=server_version).on_conflict_do_nothing()


def recorded_engine() -> sa.Select[Any]:
    """One row for `decode_engine`, or none before the first migration."""
    return sa.select(engines.c.engine, engines.c.server_version, engines.c.chosen_at)


def decode_engine(row: Sequence[Any] | None) -> RecordedEngine | None:
    return None if row is None else RecordedEngine(*row)


def set_late_rows(dataset: str, late_rows: Literal["refuse", "keep"]) -> sa.Update:
    """What happens from now on to rows below the watermark."""
    return sa.update(watermarks).where(watermarks.c.dataset == dataset).values(late_rows=late_rows)


def watermark(dataset: str) -> sa.Select[Any]:
    """`dropped_before`, the time below which rows are gone, null where none ever went; and `late_rows`, what becomes of
    later ones that are older. No row where the dataset is not migrated."""
    return sa.select(watermarks.c.dropped_before, watermarks.c.late_rows).where(watermarks.c.dataset == dataset)


def watermark_alone(dataset: str) -> sa.Select[Any]:
    """The same, its row locked until the transaction ends."""
    return watermark(dataset).with_for_update()


def all_watermarks() -> sa.Select[Any]:
    """`dataset` and `dropped_before` of every dataset."""
    return sa.select(watermarks.c.dataset, watermarks.c.dropped_before)


def changed_below(datasets: Iterable[str], moment: datetime) -> sa.Select[tuple[bool]]:
    """Whether any of these datasets has changes before `moment` that the rollup above it does not hold yet."""
    pending = sa.select(invalidations.c.id).where(
        invalidations.c.dataset.in_(list(datasets)), invalidations.c.lower < moment
    )
    return sa.select(pending.exists())


def raise_watermark(dataset: str, moment: datetime) -> sa.Update:
    """Rows below `moment` are about to go. A watermark never falls."""
    return (
        sa.update(watermarks)
        .where(
            watermarks.c.dataset == dataset,
            sa.or_(watermarks.c.dropped_before.is_(None), watermarks.c.dropped_before < moment),
        )
        .values(dropped_before=moment)
    )
