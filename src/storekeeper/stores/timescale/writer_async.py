"""Single ticks: gathered, and written together when there are enough of them or the first has waited long enough."""

from __future__ import annotations

from asyncio import to_thread
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from time import monotonic
from types import TracebackType
from typing import Self

from storekeeper.catalog import Hypertable
from storekeeper.errors import (
    BelowWatermarkError,
    ConstraintError,
    InputError,
    RefusedRowsError,
    StorekeeperError,
    UnwrittenRowsError,
)
from storekeeper.stores.timescale.append_async import AsyncAppender, AsyncOnWritten
from storekeeper.stores.timescale.background import AsyncBackground, AsyncMonitor
from storekeeper.stores.timescale.checked import checked
from storekeeper.stores.timescale.values import Appended, OnConflict

Row = Mapping[str, object]


class AsyncWriter:
    """A buffer of rows of one hypertable, as AsyncTimescale.writer opens it.

    | call | returns when |
    | --- | --- |
    | `await ticks.add(row)` | the row is checked and buffered; it waits while the buffer is full |
    | `await ticks.flush()` | all rows added before are committed |
    | the end of the block | the same, and the writer is closed |

    Nothing is durable before a `flush` that comes after it has returned. A row that does not fit its columns is refused
    by `add`, with `append`'s errors. Rows that the store refuses (a CHECK, a key that is there, retention) are found,
    the others are written, and the next call raises RefusedRowsError with them; the row of an `add` that raises is not
    taken. While the store cannot be reached rows stay in the buffer, and are tried again every `seconds`: `flush`
    raises why, and `add` does once the buffer is full. Rows that are left at the end come with UnwrittenRowsError, also
    where an error of `add` or `flush` ended the block; where one of the caller's did, that goes on, and what the end of
    the writer has to tell is the last `__context__` of it.

    Rows are written in the order in which they were added. It may be used by several tasks (or threads) at once.
    """

    def __init__(
        self,
        appender: AsyncAppender,
        hypertable: Hypertable,
        *,
        size: int,
        seconds: float,
        capacity: int | None,
        on_conflict: OnConflict | None,
        round_to: Mapping[str, int] | None,
        on_written: AsyncOnWritten | None,
    ) -> None:
        if size < 1 or seconds <= 0 or (capacity is not None and capacity < size):
            raise InputError(
                f"{size} rows, {seconds:g} seconds, a buffer of {capacity}: the first two must be above zero, and the "
                "buffer no smaller than what is written at once",
                operation="write into",
                target=hypertable.name,
            )
        self.written = Appended(0, 0)
        self._appender = appender
        self._hypertable = hypertable
        self._size = size
        self._seconds = seconds
        self._capacity = 10 * size if capacity is None else capacity
        self._on_conflict: OnConflict = on_conflict or ("update" if hypertable.natural_key else "error")
        self._round_to = round_to
        self._on_written = on_written
        self._monitor = AsyncMonitor()
        self._background = AsyncBackground(self._work)
        self._rows: deque[Row] = deque()
        self._taken = 0
        self._settled = 0
        self._wanted = 0  # flush as far as this row, counted by `taken`
        self._due = 0.0
        self._refused: list[tuple[Row, StorekeeperError]] = []
        self._failure: Exception | None = None  # why nothing was written the last time
        self._said: Exception | None = None  # what `add` or `flush` raised last of all this
        self._complaint: Exception | None = None  # of whom the rows were given to afterwards
        self._closing = False
        self._running = False

    async def add(self, *rows: Row) -> None:
        """Takes a row, or several that go together. Errors: those of `append` for what does not fit its column, and
        those above."""
        await to_thread(checked, rows, self._hypertable, self._round_to)
        async with self._monitor:
            self._complain()
            while self._running and self._rows and len(self._rows) + len(rows) > self._capacity:
                if self._failure is not None:
                    self._said = self._failure
                    raise self._said
                self._wanted = self._taken
                self._monitor.ring()
                await self._monitor.wait()
                self._complain()
            if self._closing or not self._running:
                self._said = self._closed()
                raise self._said
            if not self._rows:
                self._due = monotonic() + self._seconds
            self._rows.extend(dict(row) for row in rows)
            self._taken += len(rows)
            self._monitor.ring()

    async def flush(self) -> Appended:
        """Returns when every row added before is committed: what became of all rows so far."""
        async with self._monitor:
            wanted = self._taken
            if self._running:
                self._failure = None
                self._wanted = max(self._wanted, wanted)
                self._monitor.ring()
            while self._running and self._settled < wanted and self._failure is None:
                await self._monitor.wait()
            self._complain()
            if self._settled < wanted:
                self._said = self._failure or self._closed()
                raise self._said
            return self.written

    async def __aenter__(self) -> Self:
        async with self._monitor:
            if self._running or self._closing:
                raise InputError(
                    "the writer was entered before",
                    operation="write into",
                    target=self._hypertable.name,
                    hint="open another one",
                )
            self._background.start()
            self._running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flushes, whatever ended the block."""
        left = await self._ended()
        if left is None:
            return
        if error is None:
            raise left
        last: BaseException = error
        while last.__context__ is not None:
            last = last.__context__
        if isinstance(left, UnwrittenRowsError) and error is self._said:  # not the caller's: rows come first
            last.__context__, left.__context__ = left.__context__, error
            left.add_note(f"and: {error}")
            raise left
        error.add_note(f"and at the end of the writer: {left}")
        last.__context__ = left

    async def close(self) -> None:
        """Flushes once more, and takes no more rows. Raises RefusedRowsError, UnwrittenRowsError."""
        if (left := await self._ended()) is not None:
            raise left

    async def _ended(self) -> Exception | None:
        """Closes the writer: what is to be told at its end, each the context of the one before."""
        async with self._monitor:
            self._closing = True
            self._monitor.ring()
        await self._background.join()
        told: list[Exception] = []
        if self._rows:
            left = UnwrittenRowsError(
                f"{len(self._rows)} rows could not be written",
                operation="write into",
                target=self._hypertable.name,
                hint="they are in the error's `rows`; try again when the store can be reached",
                rows=tuple(self._rows),
            )
            left.__cause__ = self._failure
            told.append(left)
        while (complaint := self._untold()) is not None:
            told.append(complaint)
        for error, other in pairwise(told):  # there is no next call: each leads to what else there is
            error.__context__ = other
            told[0].add_note(f"and: {other}")
        return told[0] if told else None

    def _complain(self) -> None:
        """Raises what is to be told, once."""
        if (complaint := self._untold()) is not None:
            self._said = complaint
            raise complaint

    def _untold(self) -> Exception | None:
        if self._refused:
            refused, self._refused = tuple(self._refused), []
            error = RefusedRowsError(
                f"{len(refused)} rows were refused, the others are in; the first: {refused[0][1].cause}",
                operation="write into",
                target=self._hypertable.name,
                refused=refused,
            )
            error.__cause__ = refused[0][1]
            return error
        complaint, self._complaint = self._complaint, None
        return complaint

    def _closed(self) -> InputError:
        error = InputError("the writer is closed", operation="write into", target=self._hypertable.name)
        error.__cause__ = self._failure
        return error

    async def _work(self) -> None:
        try:
            await self._write_all()
        except Exception as error:  # noqa: BLE001  # flush, add and close raise it
            self._failure = error
        finally:  # whoever waits would wait for ever
            async with self._monitor:
                self._running = False
                self._monitor.ring()

    async def _write_all(self) -> None:
        while True:
            async with self._monitor:
                while not self._is_due():
                    if self._closing:
                        return
                    await self._monitor.wait(max(0.0, self._due - monotonic()) if self._rows else None)
                batch = list(self._rows)
                last_try = self._closing
            for _, run in groupby(batch, key=frozenset):  # a column that is left out takes its default
                if not await self._write(list(run)):
                    break
            async with self._monitor:
                self._due = monotonic() + self._seconds
                self._monitor.ring()
                if last_try and self._failure is not None:
                    return

    def _is_due(self) -> bool:
        if not self._rows:
            return False
        if self._failure is not None and not self._closing:
            return monotonic() >= self._due
        wanted = len(self._rows) >= self._size or self._wanted > self._settled or self._closing
        return wanted or monotonic() >= self._due

    async def _write(self, rows: Sequence[Row]) -> bool:
        """Whether the rows are settled: written, or found to be refused for what they are."""
        try:
            written, table, _ = await self._appender.put(
                self._hypertable, rows, round_to=self._round_to, on_conflict=self._on_conflict, timeout=None
            )
        except (ConstraintError, BelowWatermarkError, InputError) as error:
            if len(rows) > 1:
                middle = len(rows) // 2
                return await self._write(rows[:middle]) and await self._write(rows[middle:])
            await self._settle(1, refused=(rows[0], error))
            return True
        except Exception as error:  # noqa: BLE001  # flush and add raise it
            async with self._monitor:
                self._failure = error
            return False
        await self._settle(len(rows), written=written)
        if self._on_written is not None and table is not None:
            try:
                await self._on_written(table)
            except Exception as error:  # noqa: BLE001  # the rows are in; the next call raises it
                self._complaint = error
        return True

    async def _settle(
        self, count: int, *, written: Appended | None = None, refused: tuple[Row, StorekeeperError] | None = None
    ) -> None:
        async with self._monitor:
            for _ in range(count):
                self._rows.popleft()
            self._settled += count
            self._failure = None
            if written is not None:
                self.written += written
            if refused is not None:
                self._refused.append(refused)
            self._monitor.ring()
