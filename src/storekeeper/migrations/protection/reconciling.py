"""Protection carried out: asks the server once for all that differs, and does it target by target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sqlalchemy as sa

from storekeeper.migrations.history import SqlStore
from storekeeper.migrations.protection.changes import Change, changes
from storekeeper.migrations.protection.found import found_on
from storekeeper.migrations.protection.roles import Roles, told_apart
from storekeeper.migrations.protection.wanted import schemas_of, wanted_of
from storekeeper.migrations.steps import Step
from storekeeper.platform import Platform
from storekeeper.platform.locating import login
from storekeeper.stores.sql.failures import translated
from storekeeper.stores.sql.patience import patiently
from storekeeper.timescale.quoting import quoted


def roles_of(platform: Platform, store: SqlStore, connection: sa.Connection) -> Roles:
    """The roles that the settings' URLs log in as; the owner is whoever is connected."""
    owner: str = connection.execute(sa.text("SELECT current_user::text")).scalar_one()
    named = {role: login(platform.settings, store, role) for role in ("app", "analyst", "jobs")}
    return told_apart(owner, **named)


class Protecting:
    """The protection of one store during one migration: `steps` before anything is done, then `carry_out` of each.

    What is to be done is asked anew when the first step is carried out: the revisions before it have made tables,
    functions and views, of which the plan could only say that they would come.

    `rolled_back` says that functions may be gone which policies call: then nobody is let in by these.
    """

    def __init__(
        self,
        platform: Platform,
        store: SqlStore,
        connection: sa.Connection,
        *,
        prune: bool,
        rolled_back: bool = False,
    ) -> None:
        self._platform = platform
        self._store = store
        self._connection = connection
        self._prune = prune
        self._rolled_back = rolled_back
        self._left: dict[str, list[Change]] | None = None

    def steps(self, coming: Iterable[str] = ()) -> tuple[Step, ...]:
        """One step a table, or a schema, at which something differs. `coming` are schemas with pending revisions."""
        expected = tuple(coming)
        differing = self.differing(expected)
        whats: dict[str, list[str]] = {}
        for change in differing:
            if change.sql and change.schema not in expected:
                whats.setdefault(change.target, []).append(change.what)
        steps = [Step(self._store, "protect", name, "; ".join(what)) for name, what in whats.items()]
        # what revisions will have made, and nobody can foresee, goes with their schema
        separate = roles_of(self._platform, self._store, self._connection).separate
        touched = {change.schema for change in differing if change.sql}
        steps += [
            Step(self._store, "protect", schema, _foreseen(schema, differing))
            for schema in expected
            if separate or schema in touched
        ]
        steps += [Step(self._store, "report", one.target, one.what) for one in differing if not one.sql]
        return tuple(steps)

    def differing(self, coming: Iterable[str] = ()) -> tuple[Change, ...]:
        """All that differs now."""
        catalog = self._platform.catalog
        roles = roles_of(self._platform, self._store, self._connection)
        found = found_on(self._connection, schemas_of(catalog))
        wanted = wanted_of(catalog, self._store, roles, found, coming)
        self._connection.rollback()
        if self._rolled_back:
            possible = (policy for policy in wanted.policies if found.functions.issuperset(policy.calls))
            wanted = replace(wanted, policies=tuple(possible))
        return changes(wanted, found, roles, prune=self._prune)

    def carry_out(self, target: str) -> None:
        """Does what differs at a table, or at all that is left of a schema: a transaction a table."""
        if self._left is None:
            self._left = {}
            for change in self.differing():
                self._left.setdefault(change.target, []).append(change)
        targets = [target]
        if target in schemas_of(self._platform.catalog):
            targets += [name for name, some in self._left.items() if name != target and some[0].schema == target]
        for name in targets:
            some = self._left.pop(name, [])
            run(self._connection, (sql for change in some for sql in change.sql), name)


def _foreseen(schema: str, differing: Iterable[Change]) -> str:
    tables = {change.target for change in differing if change.sql and change.schema == schema} - {schema}
    those = f"{len(tables)} table{'' if len(tables) == 1 else 's'}, and " if tables else ""
    return f"{those}what its revisions make"


def drop_policies(connection: sa.Connection, schema: str) -> None:
    """Drops the policies of a schema's tables, before revisions are rolled back that made what policies speak of. The
    tables stay closed until they are protected again."""
    found = found_on(connection, [schema])
    connection.rollback()
    ours = (policy for policy in found.policies if policy.ours)
    run(connection, (f"DROP POLICY {quoted(policy.name)} ON {policy.table}" for policy in ours), schema)


def run(connection: sa.Connection, statements: Iterable[str], target: str) -> None:
    """Runs statements in one transaction, again where their locks were not to be had."""
    wanted = tuple(statements)

    def attempt() -> None:
        connection.rollback()
        with translated("protect", target), connection.begin():
            for sql in wanted:
                connection.exec_driver_sql(sql.replace("%", "%%"))

    if wanted:
        patiently(attempt)
