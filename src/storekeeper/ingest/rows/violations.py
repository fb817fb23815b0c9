"""The rules that the server keeps for a table, as questions about rows that wait in a temporary table. Pure.

A statement that breaks a rule fails as a whole and names one row. These name all of them: checks, unique indexes
(partial ones and those of expressions too) and foreign keys, as the server's own catalogue words them. What is not
among them (triggers, exclusion constraints) is found by trying.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storekeeper.timescale.quoting import listed, qualified, quoted, verbatim


@dataclass(frozen=True, slots=True)
class Waiting:
    """The temporary table, the column that numbers its rows, and the table that they are meant for."""

    table: str
    row: str
    target: str
    time: str | None = None  # bounds on it spare the server most of a series


@dataclass(frozen=True, slots=True)
class Rule:
    """`query` gives the numbers of the rows that break it; of those that only repeat another of the waiting rows,
    `again` is true. Its parameters are :lower and :upper, the times of the waiting rows, where `bounded`."""

    query: str
    reason: str
    reason_again: str = ""
    bounded: bool = False


CHECKS = sa.text("""
    SELECT conname, pg_get_expr(conbin, conrelid) AS expression
    FROM pg_catalog.pg_constraint AS c
    WHERE conrelid = CAST(:target AS regclass) AND contype = 'c'
        AND coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)
    ORDER BY conname
""")

UNIQUE = sa.text("""
    SELECT
        ARRAY(
            SELECT pg_get_indexdef(i.indexrelid, place, true) FROM generate_series(1, i.indnkeyatts) AS place
            ORDER BY place
        ) AS keys,
        pg_get_expr(i.indpred, i.indrelid) AS predicate,
        coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) AS nulls_alike
    FROM pg_catalog.pg_index AS i
    WHERE i.indrelid = CAST(:target AS regclass) AND i.indisunique
    ORDER BY i.indisprimary DESC, i.indexrelid
""")

FOREIGN_KEYS = sa.text("""
    SELECT
        n.nspname AS schema,
        p.relname AS parent,
        ARRAY(
            SELECT a.attname FROM unnest(c.conkey) WITH ORDINALITY AS k (number, place)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place
        ) AS columns,
        ARRAY(
            SELECT a.attname FROM unnest(c.confkey) WITH ORDINALITY AS k (number, place)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.place
        ) AS referred
    FROM pg_catalog.pg_constraint AS c
    JOIN pg_catalog.pg_class AS p ON p.oid = c.confrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.relnamespace
    WHERE c.conrelid = CAST(:target AS regclass) AND c.contype = 'f' AND c.confrelid <> c.conrelid
        AND coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)
    ORDER BY c.conname
""")


def check_rule(waiting: Waiting, row: Sequence[Any]) -> Rule:
    """What a row of CHECKS asks. A check whose answer is null holds."""
    name, expression = row
    return Rule(
        f"SELECT {quoted(waiting.row)} AS number, false AS again FROM {waiting.table} "
        f"WHERE ({verbatim(expression)}) IS FALSE",
        f"breaks {name}: {expression}",
    )


def unique_rule(waiting: Waiting, row: Sequence[Any], *, key: Sequence[str]) -> Rule | None:
    """What a row of UNIQUE asks; None of the index on `key`, by which conflicts are settled otherwise.

    With such a key, rows that have it in common are one row, which is not in its own way.
    """
    keys, predicate, nulls_alike = row
    names = [text.strip('"') for text in keys]
    if key and predicate is None and set(names) == set(key):
        return None
    columns = [f"key_{place}" for place in range(1, len(keys) + 1)]
    expressions = [f"({verbatim(text)})" for text in keys]
    chosen = [f"({verbatim(predicate)})"] if predicate else []
    equal = "IS NOT DISTINCT FROM" if nulls_alike else "="
    same = [f"{text} {equal} came.{name}" for text, name in zip(expressions, columns, strict=True)]
    bounded = waiting.time is not None and waiting.time in names
    if bounded:
        same += [f"{quoted(waiting.time or '')} BETWEEN :lower AND :upper"]
    filled = [] if nulls_alike else [f"{text} IS NOT NULL" for text in expressions]
    where = " AND ".join(chosen + filled) or "true"
    if key:
        same.append(f"ROW({listed(key)}) IS DISTINCT FROM came.self")
        again = f"first_value(ROW({listed(key)})) OVER alike IS DISTINCT FROM ROW({listed(key)})"
    else:
        again = "row_number() OVER alike > 1"
    selected = ", ".join(f"{text} AS {name}" for text, name in zip(expressions, columns, strict=True))
    shown = f"({', '.join(names)})"
    return Rule(
        f"SELECT came.number, came.again FROM (SELECT {quoted(waiting.row)} AS number, {selected}, "
        f"ROW({listed(key)}) AS self, {again} AS again FROM {waiting.table} WHERE {where} "
        f"WINDOW alike AS (PARTITION BY {', '.join(expressions)} ORDER BY {quoted(waiting.row)})) AS came "
        f"WHERE came.again OR EXISTS (SELECT FROM {waiting.target} WHERE {' AND '.join(same + chosen)})",
        f"its key {shown} is there already",
        f"its key {shown} stands in an earlier row",
        bounded,
    )


def foreign_key_rule(waiting: Waiting, row: Sequence[Any]) -> Rule:
    """What a row of FOREIGN_KEYS asks. Where one of the columns is null, nothing is referred to."""
    schema, parent, columns, referred = row
    same = " AND ".join(
        f"p.{quoted(there)} = came.{quoted(here)}" for here, there in zip(columns, referred, strict=True)
    )
    filled = " AND ".join(f"came.{quoted(name)} IS NOT NULL" for name in columns)
    return Rule(
        f"SELECT came.{quoted(waiting.row)} AS number, false AS again FROM {waiting.table} AS came "
        f"WHERE {filled} AND NOT EXISTS (SELECT FROM {qualified(schema, parent)} AS p WHERE {same})",
        f"{schema}.{parent} has no row of this {listed(columns)}",
    )
