# Generated from timescale_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The time-series store: rows in, rows and bars out, and the life of chunks and rollups."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial

from storekeeper.catalog import Catalog, Hypertable, Range
from storekeeper.clock import as_utc
from storekeeper.ledger import series
from storekeeper.stores.health import Health
from storekeeper.stores.sql.intake import Rows
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.running import inspected
from storekeeper.stores.sql.transaction import DEFAULT, Default
from storekeeper.stores.timescale.append import Appender, Appending, OnWritten
from storekeeper.stores.timescale.archiving import Archiving
from storekeeper.stores.timescale.backfill import Backfiller, ManyRows
from storekeeper.stores.timescale.chunk_maker import ChunkMaker
from storekeeper.stores.timescale.cold import Cold
from storekeeper.stores.timescale.lifecycle import Lifecycle
from storekeeper.stores.timescale.reads import Reads
from storekeeper.stores.timescale.values import Appended, ArchivedPart, Backfilled, Dropped, OnConflict, Refreshed, Size
from storekeeper.stores.timescale.writer import Writer
from storekeeper.timescale.chunks import Chunk
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import levels
from storekeeper.timescale.lifecycle import ahead


class Timescale(Reads):
    """Time series, by the engine that the store was migrated with.

    | call | gives |
    | --- | --- |
    | `await store.append("invest.intraday_prices", frame)` | rows in: all, or none |
    | `await store.bars("invest.intraday_prices", ["AAPL"], every=minutes(5))` | bars, from the best rollup |
    | `await store.as_of("invest.trades", "invest.quotes", ["AAPL"], start=…)` | rows with what was known then |
    | `await store.raw("invest.intraday_prices", start=…, where={"symbol": ["AAPL"]})` | rows as they are |
    | `async for batch in store.stream("invest.intraday_prices")` | the same rows, batch by batch |
    | `await store.latest("invest.intraday_prices", ["AAPL", "MSFT"])` | the newest row of each key |
    | `await store.refresh("invest.intraday_prices", as_of=now)` | rollups made anew where rows changed |
    | `await store.drop_chunks("invest.intraday_prices", as_of=now)` | retention, once the rollups hold what goes |

    A dataset is a hypertable of the catalogue, or its name; where it says so, a rollup's name too. Answers are Arrow
    tables: times in UTC, NUMERIC as float64 or, with `exact`, as decimals; UUID and JSON as text. The pool is the
    caller's to open and close.
    """

    def __init__(
        self,
        pool: Pool,
        catalog: Catalog,
        engine: Engine,
        *,
        owner: str | None = None,
        service: bool = False,
        archive: Cold | None = None,
    ) -> None:
        """`owner` is the role that owns the tables, where the pool logs in by another one that may become it. `service`
        says that it logs in as one that may only write rows: chunks are made for it, and rollups shown to it. `archive`
        is the cold tier, where datasets are archived."""
        super().__init__(pool, catalog, engine, service=service, archive=archive)
        self._chunks = ChunkMaker(pool, engine, owner=owner, service=service)
        self._appender = Appender(pool, self._chunks)
        self._archiving = Archiving(pool, engine, archive, partial(self._reader.fetched, exact=True))
        self._lifecycle = Lifecycle(pool, engine, self._chunks, self._archiving, owner=owner)
        self._backfiller = Backfiller(pool, self._appender, engine, self._lifecycle)

    def append(
        self,
        dataset: Hypertable | str,
        rows: Rows,
        *,
        round_to: Mapping[str, int] | None = None,
        on_conflict: OnConflict = "error",
        timeout: float | Default | None = DEFAULT,  # the server's, of the transaction
        connections: int = 1,
        on_written: OnWritten | None = None,
    ) -> Appended:
        """Takes rows in: list of dicts, pandas or polars frame, Arrow table. All of them, or none; history too: its
        chunks are made as needed.

        Rows whose natural key is there already: "error" raises UniqueError, which names the key; "skip" leaves them
        out; "update" takes their columns over. Of rows with one key in the same call, "skip" takes the first, "update"
        the last. `round_to` names columns that may be rounded, and to how many decimals; `timeout` in seconds, the
        pool's by default. Rows that a declared flag marks are taken, and counted in `flagged`.

        `connections` writes whole chunks over so many at once, each a transaction; none is committed before all rows
        are written, so that it is all or none but for a server that dies between the commits: then whole chunks are in.
        A deadlock is then the caller's to try again. `on_written` is called with the rows, as an Arrow table, once they
        are committed; its errors reach the caller, and the rows stay.

        Raises ColumnError, ValueFitError (row, column), NaiveTimeError, CheckError, UniqueError, BelowWatermarkError.
        """
        return self._appender.append(
            self._hypertable(dataset),
            rows,
            round_to=round_to,
            on_conflict=on_conflict,
            timeout=timeout,
            connections=connections,
            on_written=on_written,
        )

    def upsert(
        self,
        dataset: Hypertable | str,
        rows: Rows,
        *,
        round_to: Mapping[str, int] | None = None,
        timeout: float | Default | None = DEFAULT,  # the server's, of the transaction
        connections: int = 1,
        on_written: OnWritten | None = None,
    ) -> Appended:
        """`append` with on_conflict="update". Rows that are there as they are handed in are not touched; where two
        calls bring the same key at once, the row of either stays, whole."""
        return self.append(
            dataset,
            rows,
            round_to=round_to,
            on_conflict="update",
            timeout=timeout,
            connections=connections,
            on_written=on_written,
        )

    def backfill(
        self,
        dataset: Hypertable | str,
        rows: ManyRows,
        *,
        round_to: Mapping[str, int] | None = None,
        on_conflict: OnConflict = "error",
        timeout: float | None = None,
        connections: int = 1,
    ) -> Backfilled:
        """Takes sealed days in, and leaves their chunks in the columnstore, where the engine has one; where it has
        none, or none is declared, it is an append, and `note` says so.

        `rows` as `append` takes them, or an iterable of such frames, each of which is one transaction: after a failure
        the frames before it are in (a note on the error says how many rows), and on_conflict="skip" goes on from there.
        Rows of a dataset without unique index or trigger go straight into the columnstore, where the server can.
        `timeout` in seconds, of each transaction; `connections` as of `append`, and for compressing too.

        Raises what `append` raises, and ConflictError where a chunk stays locked; the rows are in then, and the
        `compression` job compresses them when they are old enough.
        """
        return self._backfiller.backfill(
            self._hypertable(dataset),
            rows,
            round_to=round_to,
            on_conflict=on_conflict,
            timeout=timeout,
            connections=connections,
        )

    def writer(
        self,
        dataset: Hypertable | str,
        *,
        size: int = 1_000,
        seconds: float = 1.0,
        capacity: int | None = None,
        on_conflict: OnConflict | None = None,
        round_to: Mapping[str, int] | None = None,
        on_written: OnWritten | None = None,
    ) -> Writer:
        """A buffer for single ticks: `async with store.writer(…) as ticks`, then `await ticks.add({…})` as they come.

        It writes when `size` rows wait, when the first has waited for `seconds`, on `await ticks.flush()` and at the
        end of the block; `add` waits while `capacity` rows (10 x `size`) are not committed. What is durable, and what
        becomes of refused rows: see AsyncWriter. `on_conflict` is "update" where there is a natural key, so that a
        batch whose commit was not heard of can be written again; without one such a batch may come to be there twice.
        `on_written` is called with the rows of each transaction, as an Arrow table, once they are committed; its errors
        are raised by the next call.
        """
        return Writer(
            self._appender,
            self._hypertable(dataset),
            size=size,
            seconds=seconds,
            capacity=capacity,
            on_conflict=on_conflict,
            round_to=round_to,
            on_written=on_written,
        )

    def appending(
        self,
        dataset: Hypertable | str,
        *,
        on_conflict: OnConflict = "error",
        timeout: float | Default | None = None,
    ) -> AbstractContextManager[Appending]:
        """One transaction for rows that come piece by piece: `async with store.appending(…) as rows`, then
        `await rows.write(…)` as often as it takes.

        Committed at the end of the block, undone by an exception.
        """
        return self._appender.appending(self._hypertable(dataset), on_conflict=on_conflict, timeout=timeout)

    def archived_parts(self, dataset: Hypertable | str | None = None) -> list[ArchivedPart]:
        """The chunks that were archived, of one dataset or of all, in order of dataset and time."""
        return self._archiving.parts(None if dataset is None else self._hypertable(dataset).name)

    def verify_archived(self, part: ArchivedPart) -> None:
        """Reads the files of an archived chunk and compares them with what was written. Raises DamagedArchiveError."""
        self._archiving.verify(part)

    def chunks(self, dataset: Hypertable | str) -> list[Chunk]:
        """The chunks of a hypertable or rollup, in order of time."""
        level = self._level(dataset)
        with self.pool.begin(operation="inspect", target=level.name) as connection:
            return inspected(connection, self.engine.chunks(level))

    def pending(self, dataset: Hypertable | str) -> list[Range]:
        """The times of a hypertable or rollup that changed since the rollup above it was made; merged, in order."""
        level = self._level(dataset)
        with self.pool.begin(operation="inspect", target=level.name) as connection:
            return inspected(connection, self.engine.pending(level))

    def watermark(self, dataset: Hypertable | str) -> datetime | None:
        """The time below which the rows of a hypertable or rollup are gone; None where none ever went."""
        level = self._level(dataset)
        with self.pool.begin(operation="inspect", target=level.name) as connection:
            row = (connection.execute(series.watermark(level.name))).first()
        return None if row is None else row.dropped_before

    def sizes(self) -> list[Size]:
        """How large every hypertable and rollup of the catalogue is. Counts are the server's estimates."""
        with self.pool.begin(operation="inspect") as connection:
            marks = {row.dataset: row.dropped_before for row in connection.execute(series.all_watermarks())}
            sizes = []
            for level in (level for hypertable in self.catalog.hypertables for level in levels(hypertable)):
                chunks = inspected(connection, self.engine.chunks(level))
                sizes.append(
                    Size(
                        level.name,
                        level.hypertable.name if level.depth else None,
                        len(chunks),
                        sum(chunk.rows for chunk in chunks),
                        sum(chunk.bytes for chunk in chunks),
                        min((chunk.range.lower for chunk in chunks), default=None),
                        max((chunk.range.upper for chunk in chunks), default=None),
                        marks.get(level.name),
                        sum(chunk.compressed for chunk in chunks),
                    )
                )
        return sizes

    def refresh(self, dataset: Hypertable | str, *, as_of: datetime) -> list[Refreshed]:
        """Makes every rollup of a hypertable anew where what it is made of changed: buckets that had ended by `as_of`.

        One transaction a window; cut off in the middle, the rest stays noted for the next run.
        """
        return self._lifecycle.refresh(self._hypertable(dataset), as_utc(as_of))

    def drop_chunks(self, dataset: Hypertable | str, *, as_of: datetime, dry_run: bool = False) -> list[Dropped]:
        """Retention of a hypertable and of its rollups, one answer for each of which something goes.

        What goes is first held, and verified, by every rollup above it; rows older than it are refused from then on
        (or kept outside the rollups, as declared). Raises NotVerifiedError, ConflictError: nothing was dropped then of
        that level. Run it again after any failure.
        """
        return self._lifecycle.drop_chunks(self._hypertable(dataset), as_utc(as_of), dry_run=dry_run)

    def compress(self, dataset: Hypertable | str, *, as_of: datetime, dry_run: bool = False) -> list[Chunk]:
        """Compresses chunks older than declared, and returns them. Raises NotSupportedError where there are such chunks
        and the engine cannot."""
        return self._lifecycle.compress(self._hypertable(dataset), as_utc(as_of), dry_run=dry_run)

    def make_chunks_ahead(
        self, dataset: Hypertable | str, *, as_of: datetime, count: int, dry_run: bool = False
    ) -> list[Range]:
        """Makes the chunk that holds `as_of` and `count` after it, of a hypertable and of its rollups.

        Returns the ranges that were missing of the hypertable.
        """
        made: list[Range] = []
        for level in levels(self._hypertable(dataset)):
            wanted = ahead(level, as_utc(as_of), count)
            if dry_run:
                there = {chunk.range for chunk in self.chunks(level.name)}
                missing = [piece for piece in wanted if piece not in there]
            else:
                self._chunks.forget(level)  # others drop chunks too
                missing = self._chunks.ensure(level, wanted)
            made += missing if not level.depth else []
        return made

    def health(self) -> Health:
        """How the store is: never raises what the store fails by, but says it."""
        return self.pool.health()
