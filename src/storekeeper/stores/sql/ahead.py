"""One step ahead: the next item is made in a thread while this one is being used."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Items that are made one ahead of their use: `take()` gives the next, None after the last; never more than two
    are held. An exception comes where its item would have. Use it as a context manager."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="storekeeper-ahead")
        self._coming: Future[T | None] = self._thread.submit(next, items, None)

    def take(self) -> T | None:
        item = self._coming.result()
        if item is not None:
            self._coming = self._thread.submit(next, self._items, None)
        return item

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(self, *error: object) -> None:
        # waits for the item that is being made, and makes no more
        self._coming.cancel()
        self._thread.shutdown()


def one_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items, in order, as Ahead makes them."""
    with Ahead(items) as ahead:
        while (item := ahead.take()) is not None:
            yield item
