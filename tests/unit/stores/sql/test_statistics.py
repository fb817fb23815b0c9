"""Counts by statement."""

from __future__ import annotations

from storekeeper.stores.sql.statistics import StatementTable


def test_executions_add_up() -> None:
    table = StatementTable()
    table.add("SELECT 1", 0.5, 1)
    table.add("SELECT 1", 1.5, 3)
    table.add("SELECT 1", 0.25, -1, failed=True)
    (counted,) = table.snapshot()
    assert (counted.calls, counted.failures, counted.rows) == (3, 1, 4)
    assert (counted.seconds, counted.longest) == (2.25, 1.5)


def test_the_table_keeps_those_used_last() -> None:
    table = StatementTable(most=2)
    for statement in ("a", "b", "a", "c"):
        table.add(statement, 1.0, 0)
    assert {counted.statement for counted in table.snapshot()} == {"a", "c"}


def test_what_took_most_time_comes_first() -> None:
    table = StatementTable()
    table.add("quick", 0.1, 0)
    table.add("long", 1.0, 0)
    assert [counted.statement for counted in table.snapshot()] == ["long", "quick"]
