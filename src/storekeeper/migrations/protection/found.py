"""How a store is protected now, as its server's catalogues say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import sqlalchemy as sa

from storekeeper.migrations.protection.roles import PUBLIC
from storekeeper.timescale.quoting import qualified, quoted

Kind = Literal["schema", "table", "sequence", "function"]


class Grant(NamedTuple):
    """One right of one role. `name` is quoted, with its schema; `column` is empty for the whole object."""

    kind: Kind
    name: str
    column: str
    right: str
    role: str


class FoundPolicy(NamedTuple):
    """A policy of the server's. `digest` is that of the Policy of ours that it was made from, where neither has changed
    since; empty where somebody else made it, or changed it."""

    table: str
    name: str
    roles: frozenset[str]
    digest: str
    ours: bool


@dataclass(frozen=True)
class Found:
    """What is there, in some schemas. Tables, views and functions by quoted name.

    `schema_of` is where each table lies; `partitions` are those of them that are no table of their own.
    """

    schemas: frozenset[str]
    tables: frozenset[str]
    partitions: frozenset[str]
    secured: frozenset[str]
    barriers: frozenset[str]
    views: dict[str, tuple[str, ...]]
    sequences: frozenset[str]
    functions: frozenset[str]
    policies: frozenset[FoundPolicy]
    grants: frozenset[Grant]
    schema_of: dict[str, str]


#: What a policy says, as the server prints it: kept in the comment beside our own digest, so that a change by hand is
#: seen. Names are printed with their schemas, since the search path is empty here.
AS_PRINTED = (
    "left(encode(sha256(convert_to(concat_ws('|', policy.polcmd, policy.polpermissive,"
    " pg_get_expr(policy.polqual, policy.polrelid), pg_get_expr(policy.polwithcheck, policy.polrelid)), 'UTF8')),"
    " 'hex'), 16)"
)
MARK = "storekeeper"

_RELATIONS = """
SELECT space.nspname, thing.relname, thing.relkind::text, thing.relrowsecurity, thing.relispartition,
       coalesce(thing.reloptions && ARRAY['security_barrier=true', 'security_barrier=on'], false),
       CASE WHEN thing.relkind = 'v' THEN ARRAY(
           SELECT attname::text FROM pg_catalog.pg_attribute
           WHERE attrelid = thing.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum) END
FROM pg_catalog.pg_class AS thing JOIN pg_catalog.pg_namespace AS space ON space.oid = thing.relnamespace
WHERE space.nspname = ANY(:schemas) AND thing.relkind IN ('r', 'p', 'f', 'm', 'v', 'S')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS link
      WHERE link.classid = 'pg_class'::regclass AND link.objid = thing.oid AND thing.relkind = 'S'
        AND link.deptype = 'i')"""

_POLICIES = f"""
SELECT space.nspname, thing.relname, policy.polname,
       ARRAY(SELECT CASE role WHEN 0 THEN '{PUBLIC}' ELSE pg_get_userbyid(role)::text END
             FROM unnest(policy.polroles) AS role),
       coalesce(obj_description(policy.oid, 'pg_policy'), ''), {AS_PRINTED}
FROM pg_catalog.pg_policy AS policy JOIN pg_catalog.pg_class AS thing ON thing.oid = policy.polrelid
JOIN pg_catalog.pg_namespace AS space ON space.oid = thing.relnamespace
WHERE space.nspname = ANY(:schemas)"""

#: Trigger functions need no right to be fired, so none is given; of the others those that run as their owner matter.
_FUNCTIONS = """
SELECT space.nspname, function.proname, pg_get_function_identity_arguments(function.oid)
FROM pg_catalog.pg_proc AS function JOIN pg_catalog.pg_namespace AS space ON space.oid = function.pronamespace
WHERE space.nspname = ANY(:schemas) AND function.prosecdef
  AND function.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)"""

#: Those on trigger functions too: whoever may execute one can put it on a temporary table of their own, with types
#: whose casts then run as the owner of the function.
_GRANTS = f"""
SELECT held.kind, held.schema, held.name, held.arguments, held.part, item.privilege_type,
       CASE item.grantee WHEN 0 THEN '{PUBLIC}' ELSE pg_get_userbyid(item.grantee)::text END
FROM (
    SELECT 'schema' AS kind, nspname AS schema, nspname AS name, '' AS arguments, '' AS part, nspowner AS owner,
           coalesce(nspacl, acldefault('n', nspowner)) AS acl
    FROM pg_catalog.pg_namespace WHERE nspname = ANY(:schemas)
    UNION ALL
    SELECT CASE thing.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, space.nspname, thing.relname, '', '',
           thing.relowner, thing.relacl
    FROM pg_catalog.pg_class AS thing JOIN pg_catalog.pg_namespace AS space ON space.oid = thing.relnamespace
    WHERE space.nspname = ANY(:schemas) AND thing.relkind IN ('r', 'p', 'f', 'm', 'v', 'S')
    UNION ALL
    SELECT 'table', space.nspname, thing.relname, '', part.attname, thing.relowner, part.attacl
    FROM pg_catalog.pg_attribute AS part JOIN pg_catalog.pg_class AS thing ON thing.oid = part.attrelid
    JOIN pg_catalog.pg_namespace AS space ON space.oid = thing.relnamespace
    WHERE space.nspname = ANY(:schemas) AND part.attacl IS NOT NULL AND NOT part.attisdropped
    UNION ALL
    SELECT 'function', space.nspname, function.proname, pg_get_function_identity_arguments(function.oid), '',
           function.proowner, coalesce(function.proacl, acldefault('f', function.proowner))
    FROM pg_catalog.pg_proc AS function JOIN pg_catalog.pg_namespace AS space ON space.oid = function.pronamespace
    WHERE space.nspname = ANY(:schemas) AND function.prosecdef
) AS held CROSS JOIN LATERAL aclexplode(held.acl) AS item
WHERE item.grantee <> held.owner"""


def found_on(connection: sa.Connection, schemas: Iterable[str]) -> Found:
    """Asks for all that protects these schemas."""
    names = {"schemas": list(schemas)}
    there = connection.execute(
        sa.text("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY(:schemas)"), names
    ).scalars()
    relations = connection.execute(sa.text(_RELATIONS), names).all()
    tables = {qualified(row[0], row[1]): row for row in relations if row[2] in "rpfm"}
    views = {qualified(row[0], row[1]): row for row in relations if row[2] == "v"}
    return Found(
        schemas=frozenset(there),
        tables=frozenset(tables),
        partitions=frozenset(name for name, row in tables.items() if row[4]),
        secured=frozenset(name for name, row in tables.items() if row[3]),
        barriers=frozenset(name for name, row in views.items() if row[5]),
        views={name: tuple(row[6]) for name, row in views.items()},
        sequences=frozenset(qualified(row[0], row[1]) for row in relations if row[2] == "S"),
        functions=frozenset(signature(*row) for row in connection.execute(sa.text(_FUNCTIONS), names)),
        policies=frozenset(_policy(*row) for row in connection.execute(sa.text(_POLICIES), names)),
        grants=frozenset(_grant(*row) for row in connection.execute(sa.text(_GRANTS), names)),
        schema_of={qualified(row[0], row[1]): row[0] for row in relations},
    )


def is_shown(view: str) -> bool:
    """Whether a view, by its quoted name, is one that shows a rollup."""
    return view.rpartition(".")[2].strip('"').startswith("shown_")


def signature(schema: str, name: str, arguments: str) -> str:
    """A function as GRANT names it: invest.login_of(email text)."""
    return f"{qualified(schema, name)}({arguments})"


def _policy(schema: str, table: str, name: str, roles: list[str], comment: str, printed: str) -> FoundPolicy:
    mark, _, rest = comment.partition(" ")
    digest, _, as_made = rest.partition(" ")
    ours = mark == MARK
    return FoundPolicy(
        qualified(schema, table), name, frozenset(roles), digest if ours and as_made == printed else "", ours
    )


def _grant(kind: Kind, schema: str, name: str, arguments: str, part: str, right: str, role: str) -> Grant:
    match kind:
        case "schema":
            shown = quoted(name)
        case "function":
            shown = signature(schema, name, arguments)
        case _:
            shown = qualified(schema, name)
    return Grant(kind, shown, part, right, role)
