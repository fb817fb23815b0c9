"""Which partitions retention takes: old ones that are the table's, or that it has begun to take away."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from storekeeper.catalog import Monthly, TableLifecycle
from storekeeper.catalog.ranges import partition_range
from storekeeper.jobs.old_partitions import due
from storekeeper.span import days
from storekeeper.stores.postgres.partition_sql import Partition, State

TABLE = sa.Table("log", sa.MetaData(schema="lab"), sa.Column("at", sa.DateTime(timezone=True)))
LIFE = TableLifecycle(TABLE, partition=Monthly("at"), drop_after=days(90))
NOW = datetime(2014, 6, 15, tzinfo=UTC)


def partition(number: int, state: State = "attached", *, condemned: bool = False) -> Partition:
    bounds = partition_range(Monthly("at"), datetime(2014, number, 1, tzinfo=UTC))
    return Partition("lab.log", f"log_2014{number:02}", bounds, state, condemned, rows=0, bytes=0)


def test_old_ones_go_in_order_of_time() -> None:
    there = [partition(number) for number in (4, 2, 1, 3)]
    assert [one.name for one in due(LIFE, there, NOW)] == ["log_201401", "log_201402"]


@pytest.mark.parametrize("state", ["detaching", "detached"])
def test_what_is_off_the_table_goes_only_where_retention_took_it_off(state: State) -> None:
    assert due(LIFE, [partition(1, state)], NOW) == ()
    ours = partition(1, state, condemned=True)
    assert due(LIFE, [ours], NOW) == (ours,)
    assert due(LIFE, [partition(4, state, condemned=True)], NOW) == (), "the rule may have changed since"


def test_without_a_rule_none_goes() -> None:
    assert due(TableLifecycle(TABLE, partition=Monthly("at")), [partition(1)], NOW) == ()
