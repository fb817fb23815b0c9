"""The policies of one table, as SQL: whose rows they show, and to whom."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from storekeeper.catalog import Protection
from storekeeper.migrations.history import PLATFORM
from storekeeper.migrations.protection.found import signature
from storekeeper.migrations.protection.roles import PUBLIC, Roles
from storekeeper.timescale.quoting import column_type, qualified, quoted

OWN = "user_data_isolation"
#: The platform's function that notes in the audit log that staff reaches rows of others.
TRACE = signature(PLATFORM, "staff_reaches", "of_table regclass, to_change boolean")
#: The policies by which staff writes, by what each lets them do.
_STAFF_WRITES = {"INSERT": "staff_inserts", "UPDATE": "staff_updates", "DELETE": "staff_deletes"}


@dataclass(frozen=True, slots=True)
class Policy:
    """One permissive policy. `table` is the quoted name; `using` is None for INSERT alone, which sees no row; `check`
    None: what may be written is what may be seen; `calls` are functions that revisions make, and that have to be there.
    """

    table: str
    name: str
    command: str
    roles: frozenset[str]
    using: str | None
    check: str | None = None
    calls: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Stands for what the policy says, its roles apart: kept in its comment, since a server prints it otherwise."""
        said = "\n".join((self.command, self.using or "", self.check or ""))
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    @property
    def create(self) -> str:
        roles = ", ".join("PUBLIC" if role == PUBLIC else quoted(role) for role in sorted(self.roles))
        using = "" if self.using is None else f" USING ({self.using})"
        check = "" if self.check is None else f" WITH CHECK ({self.check})"
        return f"CREATE POLICY {quoted(self.name)} ON {self.table} FOR {self.command} TO {roles}{using}{check}"


def policies(protection: Protection, roles: Roles) -> tuple[Policy, ...]:
    """All that a protected table has; none where its rows belong to nobody.

    A row of two parties is either's to see, to write and to change, as long as one of the parties is still the writer:
    what one party must not do to the other's part is kept from both by guarded columns.
    """
    if not protection.owners:
        return ()
    table = name_of(protection.table)
    services = frozenset({roles.app or PUBLIC})
    own = " OR ".join(_owned(protection.table, path) for path in protection.owners)
    found = [Policy(table, OWN, "ALL", services, own)]
    if protection.public:
        found.append(Policy(table, "public_rows", "SELECT", services, protection.public))
    found += _of_staff(protection, services)
    if roles.analyst is not None:
        found.append(Policy(table, "analyst_reads", "SELECT", frozenset({roles.analyst}), "true"))
    if roles.jobs is not None:
        found.append(Policy(table, "jobs_all", "ALL", frozenset({roles.jobs}), "true", "true"))
    return tuple(found)


def name_of(table: sa.Table) -> str:
    """The quoted name of a table, schema included: what tables go by here."""
    assert table.schema is not None, "a table belongs to a domain's schema"
    return qualified(table.schema, table.name)


def acting_role(table: sa.Table) -> str:
    """The function, as it is called, that tells the role of the user of the transaction in this table's domain."""
    assert table.schema is not None, "a table belongs to a domain's schema"
    return signature(table.schema, "acting_role", "")


def constant(text: str) -> str:
    """A text constant, for statements that are sent as they are: nothing in them is a parameter."""
    body = text.replace("'", "''")
    return f"'{body}'"


def _owned(table: sa.Table, path: str) -> str:
    """Whether a row belongs to the user of the transaction, by one path to its owner.

    The subselect makes it a constant of the statement (an InitPlan), so that an index on the owner's column serves. A
    way through parents is an EXISTS, which the server may look up row by row or make a hash table of, as is cheaper.
    """
    *steps, last = path.split(".")
    here, at = quoted(table.name), table
    joined: list[str] = []
    where: list[str] = []
    for number, step in enumerate(steps, start=1):
        key = next(iter(at.columns[step].foreign_keys))
        alias = f"via_{number}"
        link = f"{alias}.{quoted(key.column.name)} = {here}.{quoted(step)}"
        parent = f"{name_of(key.column.table)} AS {alias}"
        if number == 1:
            joined.append(parent)
            where.append(link)
        else:
            joined.append(f"JOIN {parent} ON {link}")
        here, at = alias, key.column.table
    kind = column_type(at.columns[last].type)
    user = f"(SELECT CAST(nullif(current_setting('app.current_user_id', true), '') AS {kind}))"
    mine = f"{here}.{quoted(last)} = {user}"
    if not steps:
        return mine
    return f"EXISTS (SELECT FROM {' '.join(joined)} WHERE {' AND '.join((*where, mine))})"


def _of_staff(protection: Protection, services: frozenset[str]) -> Iterator[Policy]:
    """Those by which staff reaches rows of others. A policy a command, since the trace says which of both it was: who
    writes rows sees them too, and a statement that has to see what it changes leaves both."""
    table = name_of(protection.table)
    calls = (acting_role(protection.table), TRACE)
    if readers := tuple(dict.fromkeys((*protection.staff_reads, *protection.staff_writes))):
        yield Policy(table, "staff_reads", "SELECT", services, _traced(protection.table, readers, "false"), calls=calls)
    if not protection.staff_writes:
        return
    changed = _traced(protection.table, protection.staff_writes, "true")
    for right, name in _STAFF_WRITES.items():
        if right in protection.app:
            using, check = (None, changed) if right == "INSERT" else (changed, None)
            yield Policy(table, name, right, services, using, check, calls)


def _traced(table: sa.Table, roles: Iterable[str], to_change: str) -> str:
    """Whether the acting user has one of these roles, and the trace of it is left.

    The subselect makes it an InitPlan, once a statement, and only where a row is not the user's own: names of policies
    see to that, since a server asks them in the reverse order of these. Nobody's trace is written but staff's: of a
    CASE the server evaluates no more than it must.
    """
    named = ", ".join(constant(role) for role in roles)
    trace = f"{qualified(PLATFORM, 'staff_reaches')}({constant(name_of(table))}::regclass, {to_change})"
    return f"(SELECT CASE WHEN {acting_role(table)} IN ({named}) THEN {trace} ELSE false END)"
