"""What makes the protection of a store that which is wanted, as SQL by target: wanted less found. Pure.

Order within a target: row-level security before anybody is let in, rights taken before others are given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from storekeeper.migrations.protection.found import AS_PRINTED, MARK, Found, FoundPolicy, Grant, is_shown
from storekeeper.migrations.protection.policies import Policy, constant
from storekeeper.migrations.protection.roles import PUBLIC, Roles
from storekeeper.migrations.protection.wanted import View, Wanted
from storekeeper.timescale.quoting import quoted

#: Policies that only a process with separate roles makes, and that one without them leaves as they are.
_OF_ROLES = frozenset({"analyst_reads", "jobs_all"})


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs. `target` is a table, or a schema where it is none's; without `sql` it is but reported."""

    schema: str
    target: str
    what: str
    sql: tuple[str, ...] = ()


def changes(wanted: Wanted, found: Found, roles: Roles, *, prune: bool = False) -> tuple[Change, ...]:
    """All that differs, in the order in which it is done.

    What nobody declared stays and is reported, unless `prune`: policies of others, and grants to roles that are not
    ours. Grants to our own roles, and to everybody, that nothing asks for are taken back.
    """
    return (
        *_security(wanted, found),
        *_policies(wanted, found, roles, prune=prune),
        *_views(wanted, found),
        *_grants(wanted, found, roles, prune=prune),
    )


def _security(wanted: Wanted, found: Found) -> Iterator[Change]:
    for table in sorted(wanted.secured - found.secured):
        sql = f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        yield Change(wanted.schema_of[table], table, "row-level security", (sql,))


def _policies(wanted: Wanted, found: Found, roles: Roles, *, prune: bool) -> Iterator[Change]:
    actual = {(policy.table, policy.name): policy for policy in found.policies}
    for policy in wanted.policies:
        there = actual.pop((policy.table, policy.name), None)
        if there is not None and there.digest == policy.digest and (there.roles == policy.roles or not roles.separate):
            continue
        drop = () if there is None else (_dropped(there),)
        sql = (*drop, policy.create, _signed(policy))
        yield Change(wanted.schema_of[policy.table], policy.table, f"policy {policy.name}", sql)
    for other in sorted(actual.values(), key=lambda one: (one.table, one.name)):
        if other.table not in wanted.scope or (not roles.separate and other.ours and other.name in _OF_ROLES):
            continue
        gone = prune or other.ours
        what = f"policy {other.name}: {'nobody declares it' if gone else 'made by somebody else'}"
        yield Change(wanted.schema_of[other.table], other.table, what, (_dropped(other),) if gone else ())


def _dropped(policy: FoundPolicy) -> str:
    return f"DROP POLICY {quoted(policy.name)} ON {policy.table}"


def _signed(policy: Policy) -> str:
    """Notes with the policy what it was made from, and how the server prints it."""
    return f"""
DO $block$
DECLARE
    printed text;
BEGIN
    SELECT {AS_PRINTED} INTO STRICT printed FROM pg_catalog.pg_policy AS policy
    WHERE policy.polrelid = {constant(policy.table)}::regclass AND policy.polname = {constant(policy.name)};
    EXECUTE format('COMMENT ON POLICY %I ON %s IS %L', {constant(policy.name)}, {constant(policy.table)},
        {constant(f"{MARK} {policy.digest} ")} || printed);
END
$block$"""


def _views(wanted: Wanted, found: Found) -> Iterator[Change]:
    for view in wanted.views:
        if _as_wanted(view, found):
            continue
        columns = ", ".join(map(quoted, view.columns))
        drop = (f"DROP VIEW {view.name}",) if view.name in found.views else ()
        sql = f"CREATE VIEW {view.name} WITH (security_barrier) AS SELECT {columns} FROM {view.source}"
        yield Change(wanted.schema_of[view.source], view.source, "view for services", (*drop, sql))


def _as_wanted(view: View, found: Found) -> bool:
    return found.views.get(view.name) == view.columns and view.name in found.barriers


def _grants(wanted: Wanted, found: Found, roles: Roles, *, prune: bool) -> Iterator[Change]:
    judged = {grant for grant in found.grants if _judged(grant, wanted, found, roles)}
    extra = {grant for grant in judged - wanted.grants if grant.role in roles.ours}
    missing = wanted.grants - judged
    # taking a right to the whole table takes those to its columns along: they are given anew
    whole = {(grant.name, grant.right, grant.role) for grant in extra if grant.kind == "table" and not grant.column}
    missing |= {grant for grant in wanted.grants if grant.column and (grant.name, grant.right, grant.role) in whole}
    # a view that is made anew has lost its grants
    remade = {view.name for view in wanted.views if not _as_wanted(view, found)}
    missing |= {grant for grant in wanted.grants if grant.name in remade}
    for schema, target, role, some in _grouped(extra, wanted, found):
        yield Change(schema, target, f"takes {_rights(some)} from {role}", _statements("REVOKE", some))
    for schema, target, role, some in _grouped(missing, wanted, found):
        yield Change(schema, target, f"grants {_rights(some)} to {role}", _statements("GRANT", some))
    for schema, target, role, some in _grouped(judged - wanted.grants - extra, wanted, found):
        what = f"{role} has {_rights(some)}, which nobody declares"
        yield Change(schema, target, what, _statements("REVOKE", some) if prune else ())


def _judged(grant: Grant, wanted: Wanted, found: Found, roles: Roles) -> bool:
    """Whether a grant of the server's is this store's, and this process' to compare."""
    if not roles.separate and (grant.role != PUBLIC or grant.kind == "schema"):
        return False
    views = {view.name for view in wanted.views} | {name for name in found.barriers if not is_shown(name)}
    mine = wanted.scope | found.partitions | found.sequences | views
    return grant.kind in ("schema", "function") or grant.name in mine


def _grouped(
    grants: Iterable[Grant], wanted: Wanted, found: Found
) -> Iterator[tuple[str, str, str, tuple[Grant, ...]]]:
    views = {view.name: view.source for view in wanted.views}

    def place(grant: Grant) -> tuple[str, str, str]:
        table = views.get(grant.name, grant.name)
        if grant.kind == "table" and table in wanted.schema_of:
            return wanted.schema_of[table], table, grant.role
        schema = found.schema_of.get(grant.name) or grant.name.partition("(")[0].rpartition(".")[0] or grant.name
        return schema.strip('"'), schema.strip('"'), grant.role

    for (schema, target, role), some in groupby(sorted(grants, key=lambda one: (place(one), one)), key=place):
        yield schema, target, role, tuple(some)


def _rights(grants: Iterable[Grant]) -> str:
    """SELECT, UPDATE of columns, EXECUTE of login_of."""
    shown: dict[str, None] = {}
    for grant in grants:
        of = " of columns" if grant.column else ""
        if grant.kind in ("function", "sequence"):
            of = f" of {grant.name.partition('(')[0].rpartition('.')[2]}"
        shown[f"{grant.right}{of}"] = None
    return ", ".join(shown)


def _statements(verb: str, grants: Iterable[Grant]) -> tuple[str, ...]:
    """One statement an object."""
    made = []
    ordered = sorted(grants, key=lambda one: (one.kind, one.name, one.role))
    for (kind, name, role), some in groupby(ordered, key=lambda one: (one.kind, one.name, one.role)):
        rights: dict[str, list[str]] = {}
        for grant in some:
            rights.setdefault(grant.right, []).extend([quoted(grant.column)] if grant.column else [])
        listed = ", ".join(
            f"{right} ({', '.join(sorted(columns))})" if columns else right for right, columns in sorted(rights.items())
        )
        to = "PUBLIC" if role == PUBLIC else quoted(role)
        made.append(f"{verb} {listed} ON {kind.upper()} {name} {'TO' if verb == 'GRANT' else 'FROM'} {to}")
    return tuple(made)
