"""Whose rows a table holds, who else may see them, and which of its columns identify a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from storekeeper.errors import DeclarationError


@dataclass(frozen=True)
class Protection:
    """How one table is protected. From it `migrate` makes row-level security, policies and grants.

    `owners` are paths to the user that a row belongs to: "user_id"; "portfolio_id.user_id" goes through the foreign
    key; of a table of users "id". A row of two parties has two paths; without any, it belongs to nobody, and every
    service sees it. `public` is SQL over the table's columns: where it holds, every service may read the row.
    `staff_reads` and `staff_writes` are values of the users' `role` that reach rows of others, by policies that name
    them and by what `SCHEMA.acting_role()` returns; each time the audit log notes it. Who writes rows reads them too.

    `clear` and `sealed` columns identify a person, readable or as ciphertext; `digests` hold digests of secrets,
    passwords, or what is itself the key to something: no analyst sees any of them. `guarded` ones (a user's `role`) no
    service can write: functions of the owner's do. `app` is what a service may do to the table at all.
    """

    table: sa.Table
    owners: tuple[str, ...] = ()
    public: str | None = None
    staff_reads: tuple[str, ...] = ()
    staff_writes: tuple[str, ...] = ()
    clear: tuple[str, ...] = ()
    sealed: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    guarded: tuple[str, ...] = ()
    app: tuple[str, ...] = ("SELECT", "INSERT", "UPDATE", "DELETE")

    def __post_init__(self) -> None:
        named = (*self.clear, *self.sealed, *self.digests, *self.guarded)
        for column in named:
            if column not in self.table.columns:
                raise DeclarationError(f"no column {column!r}", operation="protect", target=self.name)
        twice = sorted({column for column in self.hidden if self.hidden.count(column) > 1})
        if twice:
            raise DeclarationError(f"protected in two ways: {', '.join(twice)}", operation="protect", target=self.name)
        if unknown := set(self.app) - {"SELECT", "INSERT", "UPDATE", "DELETE"}:
            raise DeclarationError(f"no such right: {', '.join(unknown)}", operation="protect", target=self.name)
        if (self.public or self.staff_reads or self.staff_writes) and not self.owners:
            raise DeclarationError(
                "says who else sees its rows, but not whose they are", operation="protect", target=self.name
            )
        for path in self.owners:
            self._check(path)

    @property
    def name(self) -> str:
        return f"{self.table.schema}.{self.table.name}"

    @property
    def hidden(self) -> tuple[str, ...]:
        """The columns that no analyst sees."""
        return (*self.clear, *self.sealed, *self.digests)

    @property
    def personal(self) -> tuple[str, ...]:
        """The columns that identify a person, whose reading and changing is logged."""
        return (*self.clear, *self.sealed)

    def _check(self, path: str) -> None:
        *steps, last = path.split(".")
        table: sa.Table | None = self.table
        for step in steps:
            table = _referred(table, step) if table is not None else None
            if table is None:
                raise DeclarationError(
                    f"owner path {path}: {step} is no foreign key", operation="protect", target=self.name
                )
        if table is None or last not in table.columns:
            raise DeclarationError(f"owner path {path}: no column {last}", operation="protect", target=self.name)


def unprotected(tables: Iterable[sa.Table], protections: Iterable[Protection]) -> tuple[str, ...]:
    """The tables that lead to a user by foreign keys and say nothing of whose their rows are."""
    known = {protection.name: protection for protection in protections}
    users = {name for name, protection in known.items() if protection.owners == ("id",)}
    refers = {
        f"{table.schema}.{table.name}": {str(key.target_fullname).rpartition(".")[0] for key in table.foreign_keys}
        for table in tables
    }
    leading = set(users)
    while more := {name for name, targets in refers.items() if targets & leading} - leading:
        leading |= more
    return tuple(sorted(name for name in leading if name not in known or not known[name].owners))


def _referred(table: sa.Table, column: str) -> sa.Table | None:
    """The table that a column's foreign key points at."""
    keys = table.columns[column].foreign_keys if column in table.columns else ()
    return next((key.column.table for key in keys), None)
