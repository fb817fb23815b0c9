"""Seals again, with the newest keys of the ring, what earlier keys sealed: by hand, after `keys rotate`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from storekeeper.errors import KeyMissingError, SealedValueError, StorekeeperError
from storekeeper.jobs.each import each
from storekeeper.jobs.job import Action, Skipped, Steps

if TYPE_CHECKING:
    from datetime import datetime

    from storekeeper.catalog import Catalog, Protection
    from storekeeper.platform import Platform

#: Values a transaction: short locks, and little to do again when a run is called off.
BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed column: the place that its values are bound to, the row's key and the person, as operations name them.

    `rows` reads (key, person, value), person NULL where the row is nobody's.
    """

    place: str
    key: sa.Column[Any]
    value: sa.Column[Any]
    rows: sa.Select[Any]


def run(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields for each sealed column how many values were sealed anew, and how many do not open.

    Values are changed where they are what was read: what a service writes meanwhile is newer, and stays.
    """

    def reseal(protection_and_column: tuple[Protection, str]) -> Steps:
        protection, column = protection_and_column
        place = f"{protection.name}.{column}"
        if len(protection.table.primary_key.columns) != 1 or len(protection.owners) > 1:
            yield Skipped("reseal", place, "its rows have no key of one column, or more than one owner")
            return
        done, closed = 0, Counter[str]()
        try:
            for count in _batches(platform, sealed_column(protection, column), closed, dry_run):
                done += count
        except (StorekeeperError, KeyboardInterrupt):
            if done:  # what is sealed anew stays so: said before the failure is
                yield Action("reseal", place, rows=done)
            raise
        if done:
            yield Action("reseal", place, rows=done)
        for reason, count in sorted(closed.items()):
            yield Skipped("reseal", place, f"{count} do not open: {reason}")

    return each(_columns(platform.catalog), reseal)


def sealed_column(protection: Protection, column: str) -> Sealed:
    """The column with its row and its person, who is found by the path to the owner."""
    table = protection.table
    (key,) = table.primary_key.columns
    joined: sa.FromClause = table
    person: sa.ColumnElement[Any] = sa.null()
    for path in protection.owners:
        *steps, last = path.split(".")
        here: sa.FromClause = table
        declared = table
        for number, step in enumerate(steps):
            parent_key = next(iter(declared.columns[step].foreign_keys)).column
            declared = parent_key.table
            parent = declared.alias(f"via_{number}")
            joined = joined.join(parent, here.c[step] == parent.c[parent_key.name])
            here = parent
        person = here.c[last]
    value = table.columns[column]
    rows = sa.select(key, person, value).select_from(joined).where(value.is_not(None))
    return Sealed(f"{protection.name}.{column}", key, value, rows)


def _columns(catalog: Catalog) -> Iterator[tuple[Protection, str]]:
    for protection in catalog.protections:
        for column in protection.sealed:
            yield protection, column


def _batches(platform: Platform, sealed: Sealed, closed: Counter[str], dry_run: bool) -> Iterator[int]:
    """How many values of each batch are sealed anew, or would be; in the order of their keys."""
    last = None
    while True:
        listed = sealed.rows if last is None else sealed.rows.where(sealed.key > last)
        with platform.postgres.begin(timeout=None, operation="reseal", target=sealed.place) as connection:
            found = connection.execute(listed.order_by(sealed.key).limit(BATCH)).all()
        if not found:
            return
        last = found[-1][0]
        yield _sealed_anew(platform, sealed, found, closed, dry_run)


def _sealed_anew(platform: Platform, sealed: Sealed, found: Sequence[Any], closed: Counter[str], dry_run: bool) -> int:
    changed: list[tuple[Any, str, str]] = []
    for key, person, value in found:
        try:
            new = _anew(platform, sealed.place, str(key), None if person is None else str(person), value, dry_run)
        except KeyMissingError:
            closed["their keys were destroyed"] += 1
        except SealedValueError:
            closed["they were changed, or were sealed for another row or person"] += 1
        else:
            changed += [(key, value, new)] if new is not None else []
    if dry_run or not changed:
        return len(changed)

    def write(connection: sa.Connection) -> int:
        count = 0
        for key, old, new in changed:
            statement = sa.update(sealed.value.table).where(sealed.key == key, sealed.value == old)
            count += connection.execute(statement.values({sealed.value: new})).rowcount
        return count

    return platform.postgres.run(write, timeout=None, operation="reseal", target=sealed.place)


def _anew(platform: Platform, place: str, row: str, person: str | None, value: str, dry_run: bool) -> str | None:
    """The value under the newest key, in a dry run just opened; None where that sealed it already."""
    ring = platform.keyring
    if not ring.is_stale(value, place=place, row=row, person=person):
        return None
    # a dry run finds what does not open too, and makes no key
    return (ring.open if dry_run else ring.reseal)(value, place=place, row=row, person=person)
