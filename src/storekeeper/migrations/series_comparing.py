"""What the next revision of a domain's series would hold: what its revisions made against what is declared of it.

Tables of series that are there are compared by Alembic, as all tables are. How series are cut, compressed and rolled
up no server tells whole: plain partitions know nothing of it. The revisions do; nothing may be pending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sqlalchemy as sa
from alembic.operations import ops

from storekeeper.catalog import Domain, Hypertable
from storekeeper.errors import MigrationError
from storekeeper.migrations.drafting import Draft, drafted, flat, hinted, table_of
from storekeeper.migrations.history import History
from storekeeper.migrations.rendering import made_series
from storekeeper.migrations.series_drafting import drafted_series, lost, unmade

_EMPTY = "it is empty: the domain's series are as declared"


def compared_series(
    connection: sa.Connection, history: History, domain: Domain, produced: ops.MigrationScript
) -> tuple[Draft, tuple[str, ...]]:
    """The draft, and hints. `produced` is Alembic's comparison of this domain in this store.

    A revision either makes, sets and drops series, which is one transaction, or changes their tables, step by step.
    Where both are to be done, it is the one that comes first, and a hint tells of the other.
    """
    try:
        made = made_series(history, domain.name).hypertables
    except MigrationError as error:
        return Draft(), (f"it is empty: what the revisions make is not known, for {error.target} {error.cause}",)
    assert produced.upgrade_ops is not None
    assert produced.downgrade_ops is not None
    series = {*made, *(h.name for h in domain.hypertables)} | _rollups(made)
    up, back = (flat(container.ops) for container in (produced.upgrade_ops, produced.downgrade_ops))
    strangers = sorted({table_of(one) for one in up} - series)
    tables, back = ([one for one in found if _is_of_columns(one, made, domain)] for found in (up, back))
    changed = {table_of(one) for one in tables}
    there = _there(connection, (*made, *(h.name for h in domain.hypertables)))
    hints = [f"{name} is nobody's, and is left alone" for name in strangers]
    hints += [f"{name} was made by a revision, and is gone" for name in sorted(made.keys() - there)]
    known = {name: _reflected(connection, one, changed, domain) for name, one in made.items() if name in there}
    declared = []
    for hypertable in domain.hypertables:
        if hypertable.name in there and hypertable.name not in made:
            hints.append(f"{hypertable.name} is there, and no create_hypertable of a revision made it: it is left out")
        elif hypertable.name not in made or hypertable.name in there:
            declared.append(hypertable)
    # a rollup may be made of it; one of a column that comes, comes after it
    first = any(isinstance(one, ops.DropColumnOp) for one in tables)
    first = first and not any(isinstance(one, ops.AddColumnOp) for one in tables)
    draft = _of_series(known, declared, changed if first else set())
    hints += unmade(known, declared)
    if tables and not (draft.up and first):
        if draft.up:
            hints.append("it changes tables only: migrate, then write the next one, for what is made of them")
        found, more = hinted(drafted(tables, back))
        return found, (*more, *hints)
    if not draft.up:
        return draft, (_EMPTY, *hints)
    if tables:
        hints.append("it leaves columns and indexes alone: migrate, then write the next one, for the tables themselves")
    hints += [
        f"{name} is dropped and made anew: buckets of which the rows are gone do not come back"
        for name in lost(known, declared)
    ]
    dropped = sorted(known.keys() - {one.name for one in declared})
    hints += [f"{name} is dropped, with its rows" for name in dropped]
    return draft, ("read it: what it drops is gone with its rows", *hints)


def _of_series(made: Mapping[str, Hypertable], declared: list[Hypertable], changed: set[str]) -> Draft:
    # a table that is not as declared yet is made use of as it is
    as_they_are = [
        replace(one, table=made[one.name].table) if one.name in changed and one.name in made else one
        for one in declared
    ]
    return drafted_series(made, as_they_are)


def _reflected(connection: sa.Connection, series: Hypertable, changed: set[str], domain: Domain) -> Hypertable:
    """What was made, with the table as it is now: columns come and go by other operations."""
    declared = {one.name: one for one in domain.hypertables}
    if series.name in declared and series.name not in changed:
        return replace(series, table=declared[series.name].table)
    table = sa.Table(series.table.name, sa.MetaData(), schema=series.schema, autoload_with=connection)
    return replace(series, table=table)


def _is_of_columns(operation: ops.MigrateOperation, made: Mapping[str, Hypertable], domain: Domain) -> bool:
    """Whether an operation changes the table of a series that was there and stays; none makes or drops one."""
    name = table_of(operation)
    stays = name in made and name in {one.name for one in domain.hypertables}
    return stays and not isinstance(operation, (ops.CreateTableOp, ops.DropTableOp))


def _rollups(made: Mapping[str, Hypertable]) -> set[str]:
    return {f"{one.schema}.{rollup.name}" for one in made.values() for rollup in one.rollups}


def _there(connection: sa.Connection, names: tuple[str, ...]) -> set[str]:
    query = sa.text("SELECT to_regclass(:name) IS NOT NULL")
    quote = connection.dialect.identifier_preparer.quote
    return {name for name in names if connection.scalar(query, {"name": ".".join(map(quote, name.split(".", 1)))})}
