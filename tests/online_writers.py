"""Clients that go on writing to the tables of lab while it is migrated, and how long each write took."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg


@dataclass
class Writes:
    """What came of them: seconds each took, and what failed. Written to by many threads, read when they have ended."""

    seconds: list[float] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)

    @property
    def longest(self) -> float:
        return max(self.seconds)

    def told(self, title: str) -> str:
        inorder = sorted(self.seconds)
        middle, high = inorder[len(inorder) // 2], inorder[len(inorder) * 99 // 100]
        return (
            f"{title}: {len(inorder):,} writes, {len(self.failed)} failed, median {middle * 1000:.1f} ms, "
            f"99% {high * 1000:.0f} ms, longest {self.longest * 1000:.0f} ms"
        )


@contextmanager
def writing(url: str, *, clients: int = 8, pause: float = 0.01) -> Iterator[Writes]:
    """So many clients write for the length of the block: sales new, changed and gone, and visits."""
    writes = Writes()
    ending = threading.Event()
    threads = [
        threading.Thread(target=_write, args=(url, number, ending, writes, pause), name=f"writer {number}")
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield writes
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def _write(url: str, number: int, ending: threading.Event, writes: Writes, pause: float) -> None:
    chance = random.Random(number)
    try:
        with psycopg.connect(url, application_name="writer") as connection:
            # rows that were there before, all over the table: no two clients change the same one
            old = [
                row[0]
                for row in connection.execute(
                    "SELECT id FROM lab.sales WHERE shop_id %% 8 = %s ORDER BY id LIMIT 2000", [number % 8]
                )
            ]
            connection.rollback()
            while not ending.wait(chance.uniform(0, 2 * pause)):
                began = time.monotonic()
                new = connection.execute(
                    "INSERT INTO lab.sales (shop_id, pieces, price) VALUES (%s, %s, %s) RETURNING id",
                    [chance.randrange(100), chance.randrange(1, 9), chance.randrange(10_000) / 100],
                ).fetchone()
                some = sorted(chance.sample(old, 3)) if chance.random() < 0.5 else sorted(chance.sample(old, 3))[::-1]
                for row in some:  # in either order
                    connection.execute("UPDATE lab.sales SET pieces = pieces + 1 WHERE id = %s", [row])
                if new is not None and chance.random() < 0.3:
                    connection.execute("DELETE FROM lab.sales WHERE id = %s", new)
                connection.execute(
                    "INSERT INTO lab.visits (shop_id, at) "
                    "VALUES (%s, '2024-01-01Z'::timestamptz + %s * interval '1 day')",
                    [chance.randrange(100), chance.randrange(120)],
                )
                connection.commit()
                writes.seconds.append(time.monotonic() - began)
    except psycopg.Error as error:
        writes.failed.append(error)
