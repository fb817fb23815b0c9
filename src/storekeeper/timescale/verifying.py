"""Whether a rollup holds what its source yields: made anew beside it, and compared row by row."""

from __future__ import annotations

from collections.abc import Callable

from storekeeper.catalog import Range
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import listed, qualified, quoted
from storekeeper.timescale.rollups import select_rollup, select_stored
from storekeeper.timescale.statement import Inspection, Statement

#: Nothing below it is touched: the rows are gone from the source, or from the rollup itself.
_FLOOR = (
    "(SELECT coalesce(max(dropped_before), '-infinity') FROM storekeeper.watermarks "
    "WHERE dataset IN (:source, :rollup))"
)


def within(time: str) -> str:
    """The condition on a time that it lies in [:lower, :upper), and not below the watermark of :source or :rollup."""
    return f"{time} >= :lower AND {time} < :upper AND {time} >= {_FLOOR}"


def verification(level: Level, window: Range, made: Callable[[Level, str], str] = select_rollup) -> Inspection[int]:
    """How many rows of a rollup differ from what its source yields, within the whole buckets of `window`.

    `made` is the SELECT that makes a rollup where a condition holds. Each row counts for the one side and against the
    other; what is left was there more often on one of them.
    """
    # the order of the source's index: rows come in groups, and are not sorted
    order = ", ".join([*map(quoted, level.buckets.by), "bucket DESC"])
    fresh = f"{made(level, within(quoted(level.source.time)))}\nORDER BY {order}"
    stored = select_stored(level, within("bucket"))
    columns = listed(level.buckets.columns)
    return Inspection(
        Statement(
            "SELECT coalesce(sum(abs(balance)), 0) FROM (\n"
            f"    SELECT sum(side) AS balance FROM (\n"
            f"        SELECT {columns}, 1 AS side FROM ({fresh}) AS fresh\n"
            f"        UNION ALL SELECT {columns}, -1 FROM ({stored}) AS stored\n"
            f"    ) AS both_sides GROUP BY {columns} HAVING sum(side) <> 0\n"
            ") AS different",
            {"source": level.source.name, "rollup": level.name, "lower": window.lower, "upper": window.upper},
        ),
        lambda rows: int(rows[0][0]),
    )


def stored_rows(level: Level, window: Range) -> Inspection[int]:
    """How many rows a rollup has in the buckets of `window`."""
    return Inspection(
        Statement(
            f"SELECT count(*) FROM {qualified(level.schema, level.table_name)} "
            "WHERE bucket >= :lower AND bucket < :upper",
            {"lower": window.lower, "upper": window.upper},
        ),
        lambda rows: int(rows[0][0]),
    )
