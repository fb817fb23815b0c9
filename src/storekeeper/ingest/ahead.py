"""One step ahead: the next item is made in a thread while this one is being used."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def one_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items, in order; an exception comes where its item would have. Never more than two are held."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="storekeeper-ahead") as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
