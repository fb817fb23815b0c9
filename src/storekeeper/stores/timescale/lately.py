"""From when on the newest rows of keys were, the last time that they were asked for: where to look first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from storekeeper.catalog import Hypertable
from storekeeper.catalog.ranges import range_of
from storekeeper.stores.sql.arrow import Table, pa, pc

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime(2, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9998, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Found:
    earliest: datetime
    keys: int


class Lately:
    """What answers told, by dataset. It only says where to look first: nothing is wrong where it is outdated."""

    def __init__(self) -> None:
        self._found: dict[str, _Found] = {}

    def earliest(self, hypertable: Hypertable) -> datetime | None:
        """The beginning of the chunk that is likely to be the oldest with a newest row; None where nobody knows."""
        found = self._found.get(hypertable.name)
        return None if found is None else found.earliest

    def note(self, hypertable: Hypertable, rows: Table, asked: int) -> None:
        """These are the newest rows of so many keys. Where one has none, all chunks have to be looked at, and the next
        question begins with that."""
        known = self._found.get(hypertable.name)
        if rows.num_rows < asked:
            self._found.pop(hypertable.name, None)
            return
        earliest = _chunk_of_oldest(rows, hypertable) if asked else None
        # of few keys the newest rows may all be newer than those of the many that were asked for before
        if earliest is not None and (known is None or earliest < known.earliest or asked >= known.keys):
            self._found[hypertable.name] = _Found(earliest, asked)


def _chunk_of_oldest(rows: Table, hypertable: Hypertable) -> datetime | None:
    """None where it is beyond what Python has dates for."""
    moment = pc.min(rows.column(hypertable.time)).cast(pa.int64()).as_py()
    if not (_FIRST - _EPOCH) // _MICROSECOND <= moment < (_LAST - _EPOCH) // _MICROSECOND:
        return None
    return range_of(_EPOCH + timedelta(microseconds=moment), hypertable.chunk).lower
