"""The SQL of relational partitions, pure: what is there, how one is made, and how one goes.

Retention marks a partition, by a comment, before it takes it off its table: so a table that it left behind when it was
cut off is known from one that somebody detached to keep it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from storekeeper.catalog import Range, TableLifecycle
from storekeeper.clock import as_utc
from storekeeper.timescale.quoting import instant, literal, qualified
from storekeeper.timescale.statement import Inspection, Statement

State = Literal["attached", "detaching", "detached"]

#: The bounds of a partition as the server prints them, in the session's own zone and style: read back by the same
#: session. A default partition, or one that is open at an end, has none.
_BOUND = r"regexp_match(pg_get_expr(part.relpartbound, part.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)')"

#: Counted as rows come and go, and forgotten by a crash; then the last ANALYZE knows.
_ROWS = "coalesce(nullif(pg_stat_get_live_tuples(part.oid), 0), greatest(part.reltuples, 0)::bigint)"

_COMMENT = "coalesce(obj_description(part.oid, 'pg_class'), '')"

_ATTACHED = f"""
SELECT part.relname, (bound.pair)[1]::timestamptz, (bound.pair)[2]::timestamptz, link.inhdetachpending,
       starts_with({_COMMENT}, :mark), {_ROWS}, pg_total_relation_size(part.oid)
FROM pg_catalog.pg_inherits AS link
JOIN pg_catalog.pg_class AS part ON part.oid = link.inhrelid
CROSS JOIN LATERAL (SELECT {_BOUND} AS pair) AS bound
WHERE link.inhparent = to_regclass(:table) AND bound.pair IS NOT NULL
ORDER BY 2"""

_LEFTOVERS = f"""
SELECT part.relname, substr({_COMMENT}, length(:mark) + 1), {_ROWS}, pg_total_relation_size(part.oid)
FROM pg_catalog.pg_class AS part JOIN pg_catalog.pg_namespace AS space ON space.oid = part.relnamespace
WHERE space.nspname = :schema AND part.relkind = 'r' AND NOT part.relispartition AND starts_with({_COMMENT}, :mark)
ORDER BY 1"""

_PARTITIONED = "SELECT relkind = 'p' FROM pg_catalog.pg_class WHERE oid = to_regclass(:table)"

_TAKEN = """
SELECT found.relname FROM pg_catalog.pg_class AS found JOIN pg_catalog.pg_namespace AS space
    ON space.oid = found.relnamespace
WHERE space.nspname = :schema AND found.relname = ANY(:names) ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of a table, or what is left of one. `table` is the parent's name with its schema, `name` the
    partition's own without; `rows` is the server's estimate, `bytes` counts indexes too.

    `condemned`: retention has begun to take it away.
    """

    table: str
    name: str
    range: Range
    state: State
    condemned: bool
    rows: int
    bytes: int


def is_partitioned(lifecycle: TableLifecycle) -> Inspection[bool]:
    """Whether the table is there, and is cut into partitions."""
    return Inspection(Statement(_PARTITIONED, {"table": _parent(lifecycle)}), lambda rows: any(row[0] for row in rows))


def attached(lifecycle: TableLifecycle) -> Inspection[list[Partition]]:
    """The partitions, those that are being detached among them, in order of time."""

    def decode(rows: Sequence[Any]) -> list[Partition]:
        return [
            Partition(
                lifecycle.name,
                name,
                Range(as_utc(lower), as_utc(upper)),
                "detaching" if pending else "attached",
                condemned,
                count,
                size,
            )
            for name, lower, upper, pending, condemned, count, size in rows
        ]

    return Inspection(Statement(_ATTACHED, {"table": _parent(lifecycle), "mark": _mark(lifecycle)}), decode)


def leftovers(lifecycle: TableLifecycle) -> Inspection[list[Partition]]:
    """The tables that retention has detached and did not come to drop."""

    def decode(rows: Sequence[Any]) -> list[Partition]:
        return [
            Partition(lifecycle.name, name, _read(held), "detached", True, count, size)
            for name, held, count, size in rows
        ]

    parameters = {"schema": lifecycle.table.schema, "mark": _mark(lifecycle)}
    return Inspection(Statement(_LEFTOVERS, parameters), decode)


def taken(lifecycle: TableLifecycle, names: Iterable[str]) -> Inspection[list[str]]:
    """Which of these names are of something that is there already."""
    parameters = {"schema": lifecycle.table.schema, "names": list(names)}
    return Inspection(Statement(_TAKEN, parameters), lambda rows: [row[0] for row in rows])


def make(lifecycle: TableLifecycle, name: str, piece: Range) -> list[Statement]:
    """Makes a partition for [lower, upper), with all that its parent has."""
    parent, partition = _parent(lifecycle), _qualified(lifecycle, name)
    return [
        # attached, not made in place: PARTITION OF would lock out every reader and writer of the parent.
        # An identity column is the parent's alone.
        Statement(
            f"CREATE TABLE {partition} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS "
            "INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION)"
        ),
        Statement(
            f"ALTER TABLE {parent} ATTACH PARTITION {partition} "
            f"FOR VALUES FROM ({instant(piece.lower)}) TO ({instant(piece.upper)})"
        ),
    ]


def condemn(lifecycle: TableLifecycle, partition: Partition) -> Statement:
    """Marks a partition that is about to go, with what it held."""
    text = literal(_mark(lifecycle) + _written(partition.range))
    return Statement(f"COMMENT ON TABLE {_qualified(lifecycle, partition.name)} IS {text}")


def detach(lifecycle: TableLifecycle, partition: Partition) -> Statement:
    """Takes a partition off its table while others read and write that; or ends a detachment that was cut off."""
    how = "FINALIZE" if partition.state == "detaching" else "CONCURRENTLY"
    return Statement(
        f"ALTER TABLE {_parent(lifecycle)} DETACH PARTITION {_qualified(lifecycle, partition.name)} {how}",
        autocommit=True,
    )


def drop(lifecycle: TableLifecycle, name: str) -> Statement:
    return Statement(f"DROP TABLE {_qualified(lifecycle, name)}")


def _parent(lifecycle: TableLifecycle) -> str:
    return _qualified(lifecycle, lifecycle.table.name)


def _qualified(lifecycle: TableLifecycle, name: str) -> str:
    assert lifecycle.table.schema is not None, "a table belongs to a domain's schema"
    return qualified(lifecycle.table.schema, name)


def _mark(lifecycle: TableLifecycle) -> str:
    return f"storekeeper: retention drops it from {lifecycle.name}: "


def _written(held: Range) -> str:
    return f"{held.lower.astimezone(UTC).isoformat()} to {held.upper.astimezone(UTC).isoformat()}"


def _read(text: str) -> Range:
    lower, _, upper = text.partition(" to ")
    return Range(datetime.fromisoformat(lower), datetime.fromisoformat(upper))
