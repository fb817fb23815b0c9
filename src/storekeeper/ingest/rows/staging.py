"""A temporary table in which rows wait: to be asked which of them break a rule, and to be merged by their key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa

from storekeeper.errors import InputError
from storekeeper.ingest.rows.checking import Checked
from storekeeper.ingest.rows.violations import (
    CHECKS,
    FOREIGN_KEYS,
    UNIQUE,
    Rule,
    Waiting,
    check_rule,
    foreign_key_rule,
    unique_rule,
)
from storekeeper.stores.sql.arrow import Array, Table, pa
from storekeeper.stores.sql.copy_binary import encode
from storekeeper.stores.sql.failures import sqlstate_of, translated
from storekeeper.stores.sql.intake import kind_of
from storekeeper.stores.sql.pool import Pool
from storekeeper.timescale.quoting import listed, qualified, quoted

_NAME = "storekeeper_ingest"
_STAGE = f"pg_temp.{_NAME}"
_BROKEN_NAME = "storekeeper_ingest_broken"
_BROKEN = f"pg_temp.{_BROKEN_NAME}"
_ROW, _FILE, _PLACE = "storekeeper_row", "storekeeper_file", "storekeeper_place"
_TEXT, _VERSION = "storekeeper_text", "storekeeper_version"
#: Broken rows that are fetched at once: each may be as long as a line of the file.
_PAGE = 1_000
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,4})?$"


@dataclass(frozen=True, slots=True)
class Destination:
    """The table that rows go to, the columns that name a row of it, and the column of its time, if it has one."""

    table: sa.Table
    key: tuple[str, ...]
    time: str | None = None

    @property
    def name(self) -> str:
        return str(self.table)

    @property
    def quoted(self) -> str:
        return qualified(self.table.schema, self.table.name) if self.table.schema else quoted(self.table.name)


@dataclass(frozen=True, slots=True)
class Broken:
    """A staged row that breaks a rule: its number, and where it stood."""

    number: int
    reason: str
    file: int
    place: int
    text: str


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the staged rows."""

    inserted: int = 0
    updated: int = 0
    skipped: int = 0


def copy_rows(
    pool: Pool, connection: sa.Connection, into: str, table: Table, types: Sequence[Any], *, operation: str, target: str
) -> None:
    """Checked columns into a table of this quoted name, by COPY BINARY."""
    statement = f"COPY {into} ({listed(table.column_names)}) FROM STDIN WITH (FORMAT binary)"
    batches = table.combine_chunks().to_batches()
    with pool.copy(connection, statement, operation=operation, target=target) as copy:
        for place, batch in enumerate(batches):
            copy.write(encode(batch, types, header=place == 0, trailer=place == len(batches) - 1))


class _TakenBackError(Exception):
    """Ends a savepoint that was only to be tried."""


@contextmanager
def savepoint(connection: sa.Connection) -> Iterator[None]:
    """Kept at the end of the block, undone by a failure.

    An interruption is left to the whole transaction: the command that it came upon may be under way still, and
    undoing the savepoint would fail in its place.
    """
    nested = connection.begin_nested()
    try:
        yield
    except Exception:
        nested.rollback()
        raise
    nested.commit()


class Stage:
    """The temporary table of one transaction. It has the destination's columns and defaults, and none of its rules."""

    def __init__(self, pool: Pool, connection: sa.Connection, destination: Destination, *, operation: str) -> None:
        self._pool = pool
        self._connection = connection
        self._to = destination
        self._operation = operation
        self._made = False
        self._numbered = 0
        self._columns: tuple[str, ...] = ()
        self._row_rules: list[Rule] | None = None
        self._key_rules: dict[tuple[str, ...], list[Rule]] = {}

    def add(self, rows: Checked, *, file: int = 0) -> None:
        """Takes rows in, numbered on from those before."""
        self._make()
        count = rows.table.num_rows
        if not count:
            return
        self._columns = tuple(rows.table.column_names)
        texts = [rows.text(row) for row in range(count)]
        own: dict[str, Array] = {
            _ROW: pa.array(np.arange(self._numbered, self._numbered + count)),
            _FILE: pa.array(np.full(count, file, dtype=np.int32)),
            _PLACE: pa.array(rows.places),
            # a text of the file may hold what no text of the server can
            _TEXT: pa.array([text.replace("\0", "") for text in texts], pa.string()),
            _VERSION: rows.versions if rows.versions is not None else pa.nulls(count, pa.string()),
        }
        table = rows.table
        for name, column in own.items():
            table = table.append_column(name, column)
        types = [self._to.table.columns[name].type for name in self._columns]
        types += [sa.BigInteger(), sa.Integer(), sa.BigInteger(), sa.Text(), sa.Text()]
        copy_rows(self._pool, self._connection, _STAGE, table, types, operation=self._operation, target=self._to.name)
        self._numbered += count

    def count(self) -> int:
        """How many rows wait."""
        return self._rows(f"SELECT count(*) FROM {_STAGE}")[0][0] if self._made else 0

    def numbers(self) -> tuple[int, int]:
        """The first and the last number of the rows that wait; there are some."""
        ((first, last),) = self._rows(f"SELECT min({_ROW}), max({_ROW}) FROM {_STAGE}")
        return first, last

    def clear(self) -> None:
        if self._made:
            self._run(f"TRUNCATE {_STAGE}")
        self._numbered = 0

    def broken(self) -> Iterator[Broken]:
        """Takes the rows out of the stage that break a rule of their own, a check or a foreign key, and gives them,
        each with the first rule that it breaks, in order of their numbers."""
        return self._taken_out(self._rules_of_rows())

    def clashing(self, *, keys_too: bool) -> Iterator[Broken]:
        """The same of rows that want what may be there once: of an earlier one, or of one that is in the table.

        `keys_too`: by the key too, instead of taking rows that have it in common for one.
        """
        return self._taken_out(self._rules_of_keys(() if keys_too else self._to.key))

    def _taken_out(self, rules: Sequence[Rule]) -> Iterator[Broken]:
        if not self._made or not rules:
            return
        self._run(f"TRUNCATE {_BROKEN}")
        self._run(f"ANALYZE {_STAGE}")
        bounds = self._bounds() or {}
        for rule in rules:
            # what breaks one rule stands in nobody's way by the next
            if self._note_broken(rule, bounds):
                self._run(f"DELETE FROM {_STAGE} USING {_BROKEN} AS b WHERE b.number = {_ROW}")
        last = -1
        page = f"SELECT * FROM {_BROKEN} WHERE number > :last ORDER BY number LIMIT {_PAGE}"
        while rows := self._rows(page, {"last": last}):
            yield from (Broken(*row) for row in rows)
            last = rows[-1].number

    def _note_broken(self, rule: Rule, bounds: Mapping[str, Any]) -> int:
        """Notes the rows that break a rule; none of a rule that cannot be asked of all rows, as it divides by zero or
        the like: then who is to blame is found by trying."""
        try:
            with savepoint(self._connection):
                return self._run(
                    f"INSERT INTO {_BROKEN} SELECT found.number, "
                    f"CASE WHEN found.again THEN CAST(:reason_again AS text) ELSE CAST(:reason AS text) END, "
                    f"s.{_FILE}, s.{_PLACE}, s.{_TEXT} FROM ({rule.query}) AS found "
                    f"JOIN {_STAGE} AS s ON s.{_ROW} = found.number",
                    {"reason": rule.reason, "reason_again": rule.reason_again, **(bounds if rule.bounded else {})},
                )
        except InputError as error:
            if not (sqlstate_of(error) or "").startswith("22"):
                raise
            return 0

    def settle_versions(self) -> int:
        """Of the staged rows of one key only that of the greatest version stays, of equals the last; how many went.

        Versions are compared as numbers where all of them are numbers, else as texts by code point.
        """
        if not self._columns:
            return 0
        ((numeric,),) = self._rows(f"SELECT bool_and({_VERSION} ~* '{_NUMBER}') FROM {_STAGE}")
        version = f"{_VERSION}::numeric" if numeric else f'{_VERSION} COLLATE "C"'
        ranked = (
            f"SELECT {_ROW} AS number, row_number() OVER "
            f"(PARTITION BY {listed(self._to.key)} ORDER BY {version} DESC, {_ROW} DESC) AS place FROM {_STAGE}"
        )
        return self._run(
            f"DELETE FROM {_STAGE} USING ({ranked}) AS ranked WHERE ranked.number = {_ROW} AND ranked.place > 1"
        )

    def foreseen(self, *, update: bool) -> Merged:
        """What `merge` would do."""
        if not self._columns:
            return Merged()
        return self._steps() if update else self._first_ones()

    def merge(self, *, update: bool) -> Merged:
        """Of the staged rows of one key the last (`update`) or the first goes on. It takes the place of what is there
        (`update`), or goes in where nothing is there. Rows that would change nothing are left alone.

        In the order of the key, so that two of these at once do not deadlock. What it returns counts the rows as if
        they came one by one, so that it is the same wherever a file is cut into pieces: of two new rows of one key, the
        first is inserted, and the second an update if it differs.
        """
        if not self._columns:
            return Merged()
        foreseen = self.foreseen(update=update)
        key, names = listed(self._to.key), listed(self._columns)
        others = self._others()
        if update and others:
            assignments = ", ".join(f"{quoted(name)} = EXCLUDED.{quoted(name)}" for name in others)
            changes = f"{self._values('kept')} IS DISTINCT FROM {self._values('EXCLUDED')}"
            action = f"DO UPDATE SET {assignments} WHERE {changes}"
        else:
            action = "DO NOTHING"
        written = self._run(
            f"INSERT INTO {self._to.quoted} AS kept ({names}) SELECT DISTINCT ON ({key}) {names} FROM {_STAGE} "
            f"ORDER BY {key}, {_ROW} {'DESC' if update else 'ASC'} ON CONFLICT ({key}) {action}"
        )
        if update:
            return foreseen
        # somebody else may have been faster with some
        return Merged(written, 0, foreseen.inserted + foreseen.skipped - written)

    def insert(self) -> Merged:
        """Every staged row goes in. Raises UniqueError where somebody was faster."""
        if not self._columns:
            return Merged()
        names = listed(self._columns)
        return Merged(
            self._run(f"INSERT INTO {self._to.quoted} ({names}) SELECT {names} FROM {_STAGE} ORDER BY {_ROW}")
        )

    def try_in(self, first: int, last: int, *, update: bool) -> None:
        """Writes the rows of these numbers, to see whether they can be, and takes them back. No two have one key."""
        names = listed(self._columns)
        action = ""
        if update and self._to.key and self._others():
            assignments = ", ".join(f"{quoted(name)} = EXCLUDED.{quoted(name)}" for name in self._others())
            action = f"ON CONFLICT ({listed(self._to.key)}) DO UPDATE SET {assignments}"
        elif self._to.key:
            action = f"ON CONFLICT ({listed(self._to.key)}) DO NOTHING"
        with suppress(_TakenBackError), savepoint(self._connection):
            self._run(
                f"INSERT INTO {self._to.quoted} ({names}) SELECT {names} FROM {_STAGE} "
                f"WHERE {_ROW} BETWEEN :first AND :last {action}",
                {"first": first, "last": last},
            )
            raise _TakenBackError

    def take(self, number: int, reason: str) -> list[Broken]:
        """Takes one row out of the stage."""
        rows = self._rows(
            f"DELETE FROM {_STAGE} WHERE {_ROW} = :number RETURNING {_ROW}, {_FILE}, {_PLACE}, {_TEXT}",
            {"number": number},
        )
        return [Broken(row[0], reason, *row[1:]) for row in rows]

    def _first_ones(self) -> Merged:
        """Of the rows of one key the first goes in, where none is there."""
        same, bounds = self._same_key()
        ((staged, keys, there),) = self._rows(
            f"WITH came AS MATERIALIZED (SELECT DISTINCT {listed(self._to.key)} FROM {_STAGE}) "
            f"SELECT (SELECT count(*) FROM {_STAGE}), (SELECT count(*) FROM came), "
            f"(SELECT count(*) FROM came JOIN {self._to.quoted} AS there ON {same})",
            bounds,
        )
        return Merged(keys - there, 0, staged - keys + there)

    def _steps(self) -> Merged:
        """Each row takes the place of the one before it of its key, the first of what is there."""
        same, bounds = self._same_key()
        key = listed(self._to.key)
        is_there = f"there.{quoted(self._to.key[0])} IS NOT NULL"
        ((staged, inserted, updated),) = self._rows(
            f"WITH came AS MATERIALIZED (SELECT {key}, {self._values('s')} AS after, "
            f"lag({self._values('s')}) OVER alike AS before, row_number() OVER alike = 1 AS first "
            f"FROM {_STAGE} AS s WINDOW alike AS (PARTITION BY {key} ORDER BY {_ROW})) "
            f"SELECT count(*), count(*) FILTER (WHERE came.first AND NOT {is_there}), "
            f"count(*) FILTER (WHERE CASE WHEN NOT came.first THEN came.after IS DISTINCT FROM came.before "
            f"ELSE {is_there} AND came.after IS DISTINCT FROM {self._values('there')} END) "
            f"FROM came LEFT JOIN {self._to.quoted} AS there ON came.first AND {same}",
            bounds,
        )
        return Merged(inserted, updated, staged - inserted - updated)

    def _same_key(self) -> tuple[str, Mapping[str, Any]]:
        """(the condition under which a row of the table, `there`, has the key of one that `came`, its parameters)."""
        same = [f"there.{quoted(name)} = came.{quoted(name)}" for name in self._to.key]
        bounds = self._bounds() if self._to.time in self._to.key else None
        if bounds is not None:
            same.append(f"there.{quoted(self._to.time or '')} BETWEEN :lower AND :upper")
        return " AND ".join(same), bounds or {}

    def _others(self) -> list[str]:
        return [name for name in self._columns if name not in self._to.key]

    def _values(self, row: str) -> str:
        """What a row has beside its key, to be compared: of JSON that is kept as text, the text."""
        texts = {name for name in self._others() if kind_of(self._to.table.columns[name].type).name == "json"}
        values = [f"{row}.{quoted(name)}{'::text' if name in texts else ''}" for name in self._others()]
        return f"ROW({', '.join(values)})"

    def _bounds(self) -> dict[str, datetime | None] | None:
        if self._to.time is None or not self._columns:
            return None
        ((lower, upper),) = self._rows(
            f"SELECT min({quoted(self._to.time)}), max({quoted(self._to.time)}) FROM {_STAGE}"
        )
        return {"lower": lower, "upper": upper}

    def _rules_of_rows(self) -> list[Rule]:
        if self._row_rules is None:
            checks, foreign = self._catalogued(CHECKS), self._catalogued(FOREIGN_KEYS)
            self._row_rules = [check_rule(self._waiting, row) for row in checks]
            self._row_rules += [foreign_key_rule(self._waiting, row) for row in foreign]
        return self._row_rules

    def _rules_of_keys(self, key: tuple[str, ...]) -> list[Rule]:
        """The unique indexes; the one on `key` left out."""
        if key not in self._key_rules:
            rules = [unique_rule(self._waiting, row, key=key) for row in self._catalogued(UNIQUE)]
            self._key_rules[key] = [rule for rule in rules if rule is not None]
        return self._key_rules[key]

    @property
    def _waiting(self) -> Waiting:
        return Waiting(_STAGE, _ROW, self._to.quoted, self._to.time)

    def _catalogued(self, query: sa.TextClause) -> Sequence[sa.Row[Any]]:
        with translated(self._operation, self._to.name):
            return self._connection.execute(query, {"target": self._to.quoted}).all()

    def _make(self) -> None:
        if self._made:
            return
        self._run(f"CREATE TEMPORARY TABLE {_NAME} (LIKE {self._to.quoted} INCLUDING DEFAULTS) ON COMMIT DROP")
        for column in self._to.table.columns:  # LIKE copies NOT NULL, also of columns that are not written
            if not column.nullable:
                self._run(f"ALTER TABLE {_STAGE} ALTER COLUMN {quoted(column.name)} DROP NOT NULL")
        self._run(
            f"CREATE TEMPORARY TABLE {_BROKEN_NAME} "
            "(number bigint PRIMARY KEY, reason text, file integer, place bigint, text text) ON COMMIT DROP"
        )
        self._run(
            f"ALTER TABLE {_STAGE} ADD COLUMN {_ROW} bigint, ADD COLUMN {_FILE} integer, ADD COLUMN {_PLACE} bigint, "
            f"ADD COLUMN {_TEXT} text, ADD COLUMN {_VERSION} text"
        )
        self._made = True

    def _run(self, statement: str, parameters: Mapping[str, Any] | None = None) -> int:
        with translated(self._operation, self._to.name):
            return int(self._connection.execute(sa.text(statement), parameters or {}).rowcount)

    def _rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        with translated(self._operation, self._to.name):
            return list(self._connection.execute(sa.text(query), parameters or {}).all())
