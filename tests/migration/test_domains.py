"""Every domain goes down and up by itself, revision by revision and in any order; the others stay as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import psycopg
import pytest

from storekeeper import Catalog, Platform, connect
from storekeeper.domains import BACKUPS, CATALOG
from storekeeper.migrations import apply, drift, plan, rollback

Revisions = Callable[[str, str], list[str]]

NAMES = [domain.name for domain in CATALOG.domains]
SERIES = {table for h in CATALOG.hypertables for table in (h.table.name, *(rollup.name for rollup in h.rollups))}


class Line(NamedTuple):
    """One thing that is there. `made` says that a revision makes it, and neither partitioning nor protection."""

    kind: str
    table: str
    name: str
    definition: str
    rights: str | None
    made: bool


Owning = Callable[..., Platform]
Footprint = Callable[..., set[Line]]

#: All that there is of a schema; of rows, what series have on record.
_LINES = """
SELECT 'schema', '', nspname::text, nspowner::regrole::text, {nspacl}, true
FROM pg_namespace WHERE oid = to_regnamespace(%(schema)s)
UNION ALL
SELECT 'relation', coalesce(t.relname, c.relname)::text, c.relname::text,
       concat_ws(' ', c.relkind, c.relowner::regrole, c.relpersistence, c.reloptions,
                 pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid),
                 CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
                 CASE WHEN i.indexrelid IS NOT NULL THEN pg_get_indexdef(c.oid) || i.indisvalid END), {relacl},
       NOT (c.relispartition OR starts_with(c.relname, 'shown_'))
FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid
WHERE c.relnamespace = to_regnamespace(%(schema)s)
UNION ALL
SELECT 'secured', relname::text, '', concat_ws(' ', relrowsecurity, relforcerowsecurity), NULL, false
FROM pg_class WHERE relnamespace = to_regnamespace(%(schema)s) AND relkind IN ('r', 'p')
UNION ALL
SELECT 'column', c.relname::text, a.attname::text,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated, a.attidentity,
                 a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid)), {attacl},
       NOT (c.relispartition OR starts_with(c.relname, 'shown_'))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = to_regnamespace(%(schema)s) AND c.relkind NOT IN ('i', 'I')
  AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', c.relname::text, o.conname::text, concat_ws(' ', o.convalidated, pg_get_constraintdef(o.oid)),
       NULL, NOT c.relispartition
FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid WHERE c.relnamespace = to_regnamespace(%(schema)s)
UNION ALL
SELECT 'trigger', c.relname::text, t.tgname::text, concat_ws(' ', t.tgenabled, pg_get_triggerdef(t.oid)),
       NULL, NOT c.relispartition
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = to_regnamespace(%(schema)s) AND NOT t.tgisinternal
UNION ALL
SELECT 'policy', c.relname::text, p.polname::text,
       concat_ws(' ', p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid), 'CHECK',
                 pg_get_expr(p.polwithcheck, p.polrelid)), NULL, false
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = to_regnamespace(%(schema)s)
UNION ALL
SELECT 'function', '', p.oid::regprocedure::text, concat_ws(' ', p.proowner::regrole, pg_get_functiondef(p.oid)),
       {proacl}, true
FROM pg_proc p WHERE p.pronamespace = to_regnamespace(%(schema)s)
UNION ALL
SELECT 'type', '', typname::text, typtype::text, {typacl}, true
FROM pg_type WHERE typnamespace = to_regnamespace(%(schema)s) AND typrelid = 0 AND typelem = 0
UNION ALL
SELECT 'series', split_part(dataset, '.', 2), '', concat_ws(' ', late_rows, rolled_up, chunk), NULL, true
FROM storekeeper.watermarks WHERE starts_with(dataset, %(schema)s || '.')
"""
#: Rights are held in the order in which they were granted, which nobody promises.
_RIGHTS = "(SELECT string_agg(item::text, ' ' ORDER BY item::text) FROM unnest({0}) AS item)"
_QUERY = _LINES.format(
    nspacl=_RIGHTS.format("nspacl"),
    relacl=_RIGHTS.format("c.relacl"),
    attacl=_RIGHTS.format("a.attacl"),
    proacl=_RIGHTS.format("p.proacl"),
    typacl=_RIGHTS.format("typacl"),
)


@pytest.fixture
def owning(role_settings: dict[str, Any], mongo_url: str, mongo_prefix: str) -> Iterator[Owning]:
    """Opens migrated stores as those who migrate them do, under a catalogue of these domains, or of all."""
    with ExitStack() as held:

        def platform(*names: str) -> Platform:
            catalog = Catalog(tuple(CATALOG.domain(name) for name in names or NAMES), backups=BACKUPS)
            where = {"mongo_url": mongo_url, "mongo_database": mongo_prefix, **role_settings}
            return held.enter_context(connect(stores=("postgres", "mongo"), role="owner", catalog=catalog, **where))

        yield platform


@pytest.fixture
def footprint(migrated_url: str) -> Iterator[Footprint]:
    """Reads what there is of these domains, or of all."""
    with psycopg.connect(migrated_url, autocommit=True, options="-c search_path=pg_catalog") as connection:

        def read(*names: str) -> set[Line]:
            found = [connection.execute(_QUERY.encode(), {"schema": name}) for name in names or NAMES]
            return {Line(*row) for rows in found for row in rows}

        yield read


@pytest.mark.parametrize("name", NAMES)
def test_a_domain_goes_down_and_up_and_the_others_stay(
    name: str, owning: Owning, footprint: Footprint, revisions: Revisions
) -> None:
    platform = owning()
    apply(platform)
    others = [other for other in NAMES if other != name]
    there, beside = footprint(name), footprint(*others)
    assert {"relation", "column", "constraint", "policy", "function"} <= {line.kind for line in there}

    taken_back = [("postgres", one) for one in revisions(name, "postgres")[::-1]]
    taken_back += [("timescale", one) for one in revisions(name, "timescale")[::-1]]
    assert rollback(platform, name, None) == tuple(f"{store}: {one}" for store, one in taken_back)
    assert (footprint(name), footprint(*others)) == (set(), beside)

    done = apply(platform).steps
    assert sorted((step.store, step.target) for step in done if step.action == "upgrade") == sorted(taken_back)
    assert {step.target.partition(".")[0] for step in done if step.action != "upgrade"} == {name, "catalogue"}
    assert (footprint(name), footprint(*others)) == (there, beside)
    assert (plan(platform).steps, drift(owning(name))) == ((), ())


@pytest.mark.parametrize("name", NAMES)
def test_its_revisions_go_down_and_up_one_by_one(
    name: str, owning: Owning, footprint: Footprint, revisions: Revisions
) -> None:
    """What a revision left behind, or took along, would differ from what there was when those before it had made it."""
    platform = owning(name)
    apply(platform)
    there = footprint(name)

    def made() -> set[tuple[str, ...]]:
        """By revisions of the postgres store: the series go at the first step down, and come at the first one up."""
        return {line[:4] for line in footprint(name) if line.made and line.table not in SERIES}

    numbers = revisions(name, "postgres")
    going_down = {}
    for number in reversed(numbers):
        going_down[number] = made()
        assert f"postgres: {number}" in rollback(platform, name)
    assert footprint(name) == set()
    for number in numbers:
        apply(platform, plan(platform, to=f"{name}@{number}"))
        assert made() == going_down[number], number
    apply(platform)
    assert footprint(name) == there


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]], ids="-".join)
def test_domains_go_down_and_up_in_any_order(order: list[str], owning: Owning, footprint: Footprint) -> None:
    apply(owning())
    there = {name: footprint(name) for name in order}
    for at, name in enumerate(order, 1):
        rollback(owning(), name, None)
        assert {line.name for line in footprint() if line.kind == "schema"} == set(order[at:])
    for name in order:
        apply(owning(name))
        assert footprint(name) == there[name]
    assert footprint() == set().union(*there.values())
    platform = owning()
    assert [step.action for step in apply(platform).steps] == ["record"]
    assert drift(platform) == ()
