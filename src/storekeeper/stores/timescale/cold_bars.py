# Generated from cold_bars_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Bars of rows that lie in the cold tier: made by the server, by the same statement, of rows lent to it for that.

Rows go through a temporary table of the reader's own transaction, so that sums, ties and time zones are the server's
here too. Only the columns that bars are made of go there, a file at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import call as to_thread

from sqlalchemy import Connection

from storekeeper.catalog import Range
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.running import executed
from storekeeper.stores.timescale.batches import encoded
from storekeeper.stores.timescale.cold import answered, wanted_of
from storekeeper.stores.timescale.lending import as_csv, lent_of
from storekeeper.stores.timescale.questions import Question
from storekeeper.stores.timescale.read import Reader
from storekeeper.stores.timescale.tiers import Tiers
from storekeeper.timescale.archived import as_text, copy_lent, lend, lend_rows
from storekeeper.timescale.bars import select_bars
from storekeeper.timescale.levels import Level
from storekeeper.timescale.routing import Route


class ColdBars:
    """Answers the part of a route that the server holds no more."""

    def __init__(self, pool: Pool, reader: Reader, tiers: Tiers) -> None:
        self._pool = pool
        self._reader = reader
        self._tiers = tiers

    def reaches(self, connection: Connection, question: Question, chunks: Sequence[Range]) -> tuple[bool, Range | None]:
        """Whether rows from the start of a question on are all there, in one tier or the other; where an end is left
        open, also where the archive's rows lie, from the first bucket on that is there as a whole. Rows that came late,
        to what was dropped before, lie in `chunks`, and are to be archived too."""
        level, calendar = Level(question.hypertable, 0), question.calendar
        if not level.hypertable.archive:
            return False, None
        archived, complete = self._tiers.complete_from(connection, level)
        if not archived:
            return False, None
        lie = None
        if question.start is None or question.end is None:
            lie = self._tiers.extent(connection, level)
            if lie is not None:
                lie = Range(min([lie.lower, *(chunk.lower for chunk in chunks)]), lie.upper)
            if lie is not None and complete is not None and complete > calendar.floor(lie.lower):
                lower = calendar.ceil(complete)
                lie = Range(lower, lie.upper) if lower < lie.upper else None
        if question.start is None:
            return lie is not None, lie
        return complete is None or complete <= calendar.floor(question.start), lie

    def bars(self, connection: Connection, question: Question, route: Route, *, exact: bool) -> Table:
        """Bars of the cold windows of a route and of what completes their last bucket, as they are selected. In a
        transaction that may make a temporary table, in which it holds a snapshot."""
        level = Level(question.hypertable, 0)
        pieces = (*route.cold, *route.rest)
        window = Range(pieces[0].lower, pieces[-1].upper)
        columns = _columns(question)
        # a condition on each column of the key lets more through than one on the key: the statement looks again
        where = {}
        if question.keys is not None:
            rows = [key if isinstance(key, tuple) else (key,) for key in question.keys]
            where = {name: [row[place] for row in rows] for place, name in enumerate(question.shape.by)}
        wanted = wanted_of(level, columns, where, exact=True, zone="UTC")
        # a number that is kept as text may be one that no decimal is: the server reads it
        texts = any(as_text(column.type) for column in wanted.columns)
        executed(connection, lend(level, columns))
        for segment in self._tiers.segments(connection, level, window.lower, window.upper):
            if not segment.files:
                executed(connection, lend_rows(level, columns, segment.range))
                continue
            found = self._tiers.segment(connection, level, wanted, segment)
            if found.num_rows:
                statement = copy_lent(columns, "csv" if texts else "binary")
                with self._pool.copy(connection, statement, operation="read bars", target=level.name) as copy:
                    if texts:
                        copy.write(to_thread(as_csv, found))
                        continue
                    for block in encoded(answered(found, wanted.schema), level.table):
                        copy.write(block)
        lent = Route(Level(lent_of(question.hypertable), 0), route.calendar, route.shape, window)
        named = [(column.name, column.kind) for column in question.selected(exact=exact)]
        bars = select_bars(lent, question.keys, exact=exact)
        return self._reader.fetched(connection, bars, named, exact=exact, target=level.name, cast=False)


def _columns(question: Question) -> Sequence[str]:
    """What bars are made of, and what breaks ties of time."""
    hypertable, shape = question.hypertable, question.shape
    measured = [name for measure in shape.measures for name in measure.columns]
    return list(dict.fromkeys([hypertable.time, *shape.by, *hypertable.natural_key, *measured]))
