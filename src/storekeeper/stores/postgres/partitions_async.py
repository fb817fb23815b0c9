"""Partitions of relational tables on a server: made before rows need them, and taken away when they are old."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.catalog import Monthly, Range, TableLifecycle, Yearly
from storekeeper.catalog.partitions import missing
from storekeeper.catalog.ranges import partition_name
from storekeeper.errors import DeclarationError, NotMigratedError, StoreError
from storekeeper.ledger.locks import partitions_lock
from storekeeper.stores.postgres import partition_sql
from storekeeper.stores.postgres.partition_sql import Partition
from storekeeper.stores.postgres.postgres_async import AsyncPostgres
from storekeeper.stores.sql.patience_async import patiently
from storekeeper.stores.sql.running_async import executed, inspected

#: Partitions made in one transaction: until it ends, nobody writes to the tables that their foreign keys point at.
_AT_ONCE: Final = 4
#: Foreign keys have every change of a partition lock the tables that they point at, for an instant. Whoever waits for
#: such a lock holds up all who come after: so not for long, and rather again.
_CHANGING: Final = {"lock_timeout": "2s"}
#: Detaching waits for those who still see the partition, most of the time under locks that stop nobody.
_DETACHING: Final = {"lock_timeout": "10s"}


class AsyncTransactions(Protocol):
    """Whatever begins transactions: a store, or a connection of one's own."""

    @property
    def as_owner(self) -> Mapping[str, str]:
        """Local settings by which a transaction has the rights of the tables' owner."""
        ...

    def begin(
        self, *, timeout: float | None, operation: str, target: str, local: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AsyncConnection]: ...


async def make_partitions(
    postgres: AsyncTransactions, lifecycle: TableLifecycle, ranges: Iterable[Range]
) -> tuple[Range, ...]:
    """Makes what is missing of the partitions that these ranges touch, and returns it.

    Short transactions of its own: neither readers nor writers of the table wait for them; whoever calls it has nothing
    open that has written to a table which the partitions refer to. Raises NotMigratedError where there is no such
    partitioned table, ConflictError where its locks were not to be had, StoreError where a name is taken.
    """
    partition = _declared(lifecycle)
    wanted = tuple(ranges)
    async with _beginning(postgres, lifecycle) as connection:
        lacking = missing(partition, wanted, await _ranges(connection, lifecycle))
    made: list[Range] = []
    for start in range(0, len(lacking), _AT_ONCE):
        some = lacking[start : start + _AT_ONCE]

        async def attempt(some: Sequence[Range] = some) -> list[Range]:
            async with _beginning(postgres, lifecycle) as connection:
                return await _make(connection, lifecycle, some)

        made += await patiently(attempt)
    return tuple(made)


async def partitions_of(connection: AsyncConnection, lifecycle: TableLifecycle) -> list[Partition]:
    """All partitions of a table in order of time, and what retention left behind of others.

    Raises NotMigratedError.
    """
    if not await inspected(connection, partition_sql.is_partitioned(lifecycle)):
        raise NotMigratedError(
            "is no table of partitions here",
            operation="inspect",
            target=lifecycle.name,
            hint="run `storekeeper migrate`",
        )
    there = await inspected(connection, partition_sql.attached(lifecycle))
    left = await inspected(connection, partition_sql.leftovers(lifecycle))
    return sorted((*there, *left), key=lambda partition: partition.range)


async def drop_partition(postgres: AsyncPostgres, lifecycle: TableLifecycle, partition: Partition) -> None:
    """Marks a partition, detaches it while its table is in use, and drops it, with its rows. One at a time.

    Cut off after any of these, it is finished by the next call for what `partitions_of` then says; one that is gone
    already is no failure. Raises ConflictError where others do not let go of it.
    """
    target = f"{lifecycle.table.schema}.{partition.name}"

    async def mark() -> None:
        async with _beginning(postgres, lifecycle, "mark", target) as connection:
            there = await inspected(connection, partition_sql.attached(lifecycle))
            if any(one.name == partition.name for one in there):
                await executed(connection, [partition_sql.condemn(lifecycle, partition)])

    async def detach() -> None:
        async with _beginning(postgres, lifecycle, "inspect", target) as connection:
            there = await inspected(connection, partition_sql.attached(lifecycle))
        # one that was cut off stands in the way of every other
        unfinished = [other for other in there if other.state == "detaching"]
        again = [one for one in there if one.state == "attached" and one.name == partition.name]
        local = {**postgres.as_owner, **_DETACHING}
        for one in (*unfinished, *again):
            async with postgres.pool.autocommit(operation="detach", target=target, local=local) as connection:
                await executed(connection, [partition_sql.detach(lifecycle, one)])

    async def drop() -> None:
        async with _beginning(postgres, lifecycle, "drop", target) as connection:
            # one of the same name may have been made for late rows: that one stays
            await connection.execute(partitions_lock(lifecycle.name).in_transaction())
            left = await inspected(connection, partition_sql.leftovers(lifecycle))
            if any(one.name == partition.name for one in left):
                await executed(connection, [partition_sql.drop(lifecycle, partition.name)])

    if partition.state == "attached":
        await patiently(mark)
    if partition.state != "detached":
        await patiently(detach)
    await patiently(drop)


async def _make(connection: AsyncConnection, lifecycle: TableLifecycle, wanted: Sequence[Range]) -> list[Range]:
    await connection.execute(partitions_lock(lifecycle.name).in_transaction())
    # asked for under the lock, so that what another has just made is seen
    partition = _declared(lifecycle)
    needed = missing(partition, wanted, await _ranges(connection, lifecycle))
    named = {partition_name(lifecycle.table.name, partition, piece): piece for piece in needed}
    for left in await inspected(connection, partition_sql.leftovers(lifecycle)):
        if left.name in named:  # an interrupted retention left a table of this name
            await executed(connection, [partition_sql.drop(lifecycle, left.name)])
    if taken := await inspected(connection, partition_sql.taken(lifecycle, named)):
        raise StoreError(
            f"{', '.join(taken)} is there, and is not its partition",
            operation="make partitions",
            target=lifecycle.name,
            hint="attach it, or give it another name; what is being detached, the next run of retention finishes",
        )
    for name, piece in named.items():
        await executed(connection, partition_sql.make(lifecycle, name, piece))
    return list(needed)


async def _ranges(connection: AsyncConnection, lifecycle: TableLifecycle) -> list[Range]:
    return [one.range for one in await partitions_of(connection, lifecycle) if one.state == "attached"]


def _beginning(
    postgres: AsyncTransactions, lifecycle: TableLifecycle, operation: str = "make partitions", target: str = ""
) -> AbstractAsyncContextManager[AsyncConnection]:
    local = {**postgres.as_owner, **_CHANGING}
    return postgres.begin(timeout=None, operation=operation, target=target or lifecycle.name, local=local)


def _declared(lifecycle: TableLifecycle) -> Yearly | Monthly:
    if lifecycle.partition is None:
        raise DeclarationError("is declared without partitions", operation="make partitions", target=lifecycle.name)
    return lifecycle.partition
