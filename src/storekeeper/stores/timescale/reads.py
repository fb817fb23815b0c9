# Generated from reads_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""What the time-series store answers: bars, one series as of another, rows as they are, the newest of each key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Final

from storekeeper.catalog import Catalog, Hypertable, Measure
from storekeeper.span import Span, checked_span, days
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.transaction import DEFAULT, Default
from storekeeper.stores.timescale.analysis import Analysis
from storekeeper.stores.timescale.answers import with_keys
from storekeeper.stores.timescale.cold import Cold, wanted_of
from storekeeper.stores.timescale.cold_bars import ColdBars
from storekeeper.stores.timescale.explained import Explained
from storekeeper.stores.timescale.flagged import flagged
from storekeeper.stores.timescale.gaps import Gaps
from storekeeper.stores.timescale.newest import Newest
from storekeeper.stores.timescale.questions import AsOf, Question, in_zone
from storekeeper.stores.timescale.streaming import Batches
from storekeeper.stores.timescale.two_tiers import TwoTiers, utc
from storekeeper.timescale.calendars import calendar_of, zone_of
from storekeeper.timescale.conditions import check_range
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level
from storekeeper.timescale.rows import check_count, key_of
from storekeeper.timescale.shapes import shape_of

#: How far before a range a value is looked up that is carried into it: over a long weekend.
LOOK_BACK: Final = days(7)


class Reads(TwoTiers):
    """The questions of AsyncTimescale, which says what they are about."""

    def __init__(
        self, pool: Pool, catalog: Catalog, engine: Engine, *, service: bool = False, archive: Cold | None = None
    ) -> None:
        super().__init__(pool, catalog, engine, service=service, archive=archive)
        self._newest = Newest(pool, self._reader, self._tiers)
        cold_bars = ColdBars(pool, self._reader, self._tiers)
        self._analysis = Analysis(pool, engine, self._reader, cold_bars, self._tiers, self._newest, shown=service)

    def bars(
        self,
        dataset: Hypertable | str,
        keys: Sequence[object] | None = None,
        *,
        every: Span,
        start: datetime | None = None,
        end: datetime | None = None,
        gaps: Gaps = "none",
        look_back: Span = LOOK_BACK,
        zone: str | None = None,
        origin: datetime | time | None = None,
        measures: Sequence[Measure] | None = None,
        exact: bool = False,
    ) -> Table:
        """Bars of `every`, in order of time and key: bucket (its first instant), the keys, open, high, low, close,
        volume, vwap (volume-weighted average price), count, as far as the rollups have these measures; or `measures`
        of one's own, over columns of the rows.

        Whole buckets: those that [start, end) touches. They come from the coarsest rollup whose buckets fill them, and
        from the rows where that one is behind, so they are right whether or not a refresh has run; all in one
        snapshot. `keys` are values of the key column, or tuples where there are several; None for all; a key that is
        not there has no bars. With `exact`, vwap has 12 decimals.

        `zone` (an IANA name; UTC) is whose days, weeks, months and years the buckets are, of 23 and 25 hours where its
        clocks change, and the zone of `bucket`. `origin` is where they are counted from: a moment, or a time of day in
        the zone, as time(9, 30) for hours from a session's opening. Parts of a day begin anew each day there, so that
        the last one of a day may be shorter; without zone and origin they are counted on and on, as rollups are.

        `gaps` is what stands for buckets without a row, of each key, from `start` to `end` (where one is left open:
        the first or the last bar of any key): "none", no bar; "null", one of nulls; "last", the last close as open,
        high, low and close; "linear", prices on the line between the bars before and after, by count of buckets.
        With "last" and "linear", volume and count are 0 and vwap is null; what has no known value before it, or for
        "linear" none after it, has no price. For "last" a value up to `look_back` before `start` counts too. Keys:
        those that have a bar in the range, and with "last" those of `keys` that have such a value before it.

        Raises BelowWatermarkError where `start` lies before what retention has left for bars of this length;
        InputError for a range that is none, a zone, gaps or width that are none, or more than ten million bars to
        fill; NaiveTimeError.
        """
        question = self._question(dataset, keys, every, start, end, zone, origin, measures)
        checked_span(look_back, "look_back", operation="read bars", target=question.hypertable.name)
        bars = self._analysis.bars(question, gaps=gaps, look_back=look_back, exact=exact)
        return with_keys(in_zone(bars, question.calendar.zone), question.shape.by)

    def explain(
        self,
        dataset: Hypertable | str,
        keys: Sequence[object] | None = None,
        *,
        every: Span,
        start: datetime | None = None,
        end: datetime | None = None,
        zone: str | None = None,
        origin: datetime | time | None = None,
        measures: Sequence[Measure] | None = None,
        exact: bool = False,
    ) -> Explained:
        """How `bars` would answer: which level, which parts of the range come from rows, which only the archive may
        still hold, and the statement; without reading any. Parameters and errors are those of `bars`."""
        question = self._question(dataset, keys, every, start, end, zone, origin, measures)
        return self._analysis.explain(question, exact=exact)

    def as_of(
        self,
        left: Hypertable | str,
        right: Hypertable | str,
        keys: Sequence[object] | None = None,
        *,
        by: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        tolerance: Span | None = None,
        strict: bool = False,
        columns: Sequence[str] | None = None,
        right_columns: Sequence[str] | None = None,
        suffix: str = "_right",
        zone: str | None = None,
        exact: bool = False,
    ) -> Table:
        """Each row of `left` within [start, end) with the newest row of `right` at or before its time, of the same key:
        a trade with the quote that stood then. In order of the left's time and natural key; both in one snapshot.

        A row of the right at the very same time counts (not with `strict`); of several at one time it is the one that
        the natural key puts last. None older than `tolerance` counts, one just as old does. Without such a row the
        right's columns are null. Rows before `start` are looked up, by index; of those that
        are archived, file by file backward from there.

        `by` are the columns that have to be equal, and are in both (the right's key); `keys` are values of them, as
        for `bars`; a key that is null is equal to none. `columns` and `right_columns` choose, all by default; of the
        right those of `by` are left out, and what is called as a column of the left gets the `suffix`. Memory: both
        ranges are held.

        Raises ColumnError, InputError, NaiveTimeError.
        """
        joined = in_zone(
            self._analysis.as_of(
                AsOf(
                    self._hypertable(left),
                    self._hypertable(right),
                    keys,
                    asked_by=by,
                    start=utc(start),
                    end=utc(end),
                    tolerance=tolerance,
                    strict=strict,
                    columns=columns,
                    right_columns=right_columns,
                    suffix=suffix,
                ),
                exact=exact,
            ),
            zone_of(zone),
        )
        return with_keys(joined, key_of(self._hypertable(left)))

    def raw(
        self,
        dataset: Hypertable | str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        where: Mapping[str, Sequence[object]] | None = None,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        exact: bool = False,
        newest_first: bool = False,
        zone: str | None = None,
        timeout: float | Default | None = DEFAULT,  # the server's, of the transaction
    ) -> Table:
        """Rows of [start, end) as they are, of a hypertable or (by name) of a rollup, in order of time and natural key,
        or in the opposite order: with a `limit`, the oldest or the newest of them. A range that has no moment in it, as
        one from noon to noon, is an error and not an empty answer, as it is of bars.

        `where` names columns and the values that they may have (NULL is none of them). NUMERIC becomes the nearest
        float64, or with `exact` a decimal of the declared digits, at most 76; what is NULL is null in Arrow, and a NaN
        stays one. `zone` is an IANA name, in which instants are shown (UTC). `table.to_pandas()` and
        `polars.from_arrow(table)` make frames of it; in pandas a null of a float column is NaN too, and a decimal an
        object: `types_mapper=pandas.ArrowDtype` keeps both apart.

        Raises ColumnError, InputError, NaiveTimeError, ValueFitError (what Arrow has no room for: an infinite instant,
        or an exact number that is NaN, infinite or too long), and
        StatementTimeoutError after `timeout` seconds, the pool's by default.
        """
        level, start, end = self._level(dataset), utc(start), utc(end)
        check_range(start, end, operation="read", target=level.name)
        if limit is not None:
            check_count(limit, "limit", 0, target=level.name)
        if level.hypertable.archive and not level.depth:
            rows = self._tiers.rows(
                level,
                wanted_of(level, columns, where, exact=exact, zone=zone_of(zone)),
                start=start,
                end=end,
                limit=limit,
                newest_first=newest_first,
                timeout=timeout,
            )
            return with_keys(rows, key_of(level.hypertable))
        rows = self._reader.rows(
            level,
            start=start,
            end=end,
            where=where,
            columns=columns,
            limit=limit,
            exact=exact,
            newest_first=newest_first,
            zone=zone_of(zone),
            timeout=timeout,
        )
        return with_keys(rows, level.rollup.by if level.rollup else key_of(level.hypertable))

    def stream(
        self,
        dataset: Hypertable | str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        where: Mapping[str, Sequence[object]] | None = None,
        columns: Sequence[str] | None = None,
        exact: bool = False,
        zone: str | None = None,
        batch_rows: int = 65_536,
        timeout: float | Default | None = None,  # the server's, of the transaction
    ) -> Batches:
        """What `raw` gives, as Arrow record batches that are read while they are taken: `async for batch in
        store.stream(…)`. Few are in memory at once, however many rows there are; all are of one snapshot.

        The server is read a chunk at a time, so that it sorts no more than that before the first batch. A batch has
        `batch_rows` rows, or fewer: the last one of a chunk, and those of wide rows (8 MB). A connection is held from
        the first batch to the last, and no chunk is dropped meanwhile. Who may stop earlier says `async with
        store.stream(…) as batches`, and the connection is back, and clean, at the end of the block. Errors: as `raw`,
        when a batch is taken; what was asked for wrongly, at once.
        """
        level, start, end = self._level(dataset), utc(start), utc(end)
        check_range(start, end, operation="read", target=level.name)
        check_count(batch_rows, "batch_rows", 1, target=level.name)
        if level.hypertable.archive and not level.depth:
            return self._tiers.stream(
                level,
                wanted_of(level, columns, where, exact=exact, zone=zone_of(zone)),
                start=start,
                end=end,
                batch_rows=batch_rows,
                timeout=timeout,
            )
        return self._reader.stream(
            level,
            start=start,
            end=end,
            where=where,
            columns=columns,
            exact=exact,
            zone=zone_of(zone),
            batch_rows=batch_rows,
            timeout=timeout,
            at_once=bool(level.depth) or self._hides(level),
        )

    def latest(
        self,
        dataset: Hypertable | str,
        keys: Sequence[object] | None = None,
        *,
        exact: bool = False,
        zone: str | None = None,
    ) -> Table:
        """The newest row of each key (of the natural key without the time), in order of the keys.

        Looked up by index, from the newest chunk backward; without `keys`, of every key that the index of the natural
        key holds. A dataset without such an index is read as a whole then. `exact` and `zone`: as for `raw`.

        One statement; a second one where a newest row lies in an older chunk than those that were found before. Of a
        dataset that is archived, one only where each of `keys` has a row in the store that is newer
        than all that is archived; else the archive answers too, from its newest file backward until every key is
        found: a key that is nowhere, or no `keys` at all, ask for every file, once in the life of this store.

        Raises InputError for keys that are none, and where the rows have no key at all.
        """
        hypertable, shown = self._hypertable(dataset), zone_of(zone)
        if hypertable.archive:
            rows = in_zone(self._newest.latest(hypertable, keys, exact=exact), shown)
        else:
            rows = self._reader.latest(hypertable, keys, exact=exact, zone=shown)
        return with_keys(rows, key_of(hypertable))

    def flagged(
        self,
        dataset: Hypertable | str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        flags: Sequence[str] | None = None,
        exact: bool = False,
    ) -> Table:
        """The rows of [start, end) that a declared quality rule marks, in order of time and natural key, with a column
        `flags` that names which do (with commas between). All flags, or those of these names.

        Rows in the store; what retention has moved to the cold tier is not looked at. Raises DeclarationError for a
        flag that is not declared, InputError for a range that is none.
        """
        hypertable, start, end = self._hypertable(dataset), utc(start), utc(end)
        check_range(start, end, operation="read flagged rows", target=hypertable.name)
        return flagged(
            self.pool,
            self._reader,
            hypertable,
            start=start,
            end=end,
            flags=flags,
            exact=exact,
        )

    def _question(
        self,
        dataset: Hypertable | str,
        keys: Sequence[object] | None,
        every: Span,
        start: datetime | None,
        end: datetime | None,
        zone: str | None,
        origin: datetime | time | None,
        measures: Sequence[Measure] | None,
    ) -> Question:
        hypertable = self._hypertable(dataset)
        return Question(
            hypertable,
            calendar_of(every, zone, origin, target=hypertable.name),
            shape_of(hypertable, measures),
            keys,
            utc(start),
            utc(end),
        )

    def _hides(self, level: Level) -> bool:
        """Whether a role may see some of its columns alone: such a one may not lock the table."""
        protections = (one for domain in self.catalog.domains for one in domain.protections)
        return any(one.name == level.name and one.hidden for one in protections)
