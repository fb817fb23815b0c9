"""Operations for revisions, beside Alembic's own. What they are given is literal: a revision is frozen at release.

| call | makes |
| --- | --- |
| `create_schema("invest")` | a schema, where there is none |
| `create_updated_at_trigger("invest.users")` | the BEFORE UPDATE trigger that keeps updated_at true |
| `execute_verbatim("CREATE FUNCTION …")` | what one statement makes, its colons left alone |
| `create_hypertable(Hypertable(…))` | a series by the store's engine, without its rollups |
| `create_rollup(Hypertable(…), "ticks_5min")` | one of the rollups that the hypertable lists |
| `alter_hypertable(before(), after())` | chunks, columnstore and late rows as another Hypertable says; no rollups |

In a revision that says `online = True`, for tables that are written to meanwhile. Each is a step in transactions of its
own, which may be taken again after an interruption:

| call | makes |
| --- | --- |
| `add_column("deals.deals", "slug", "TEXT")` | a column |
| `create_index_concurrently("idx_x", "deals.deals", ["slug"])` | an index, of a partitioned table part by part |
| `add_check("deals.deals", "check_x", "price > 0")` | a check, for new rows first, then for all |
| `add_foreign_key("deals.deals", "x_fkey", ["shop_id"], "deals.shops", ["id"])` | a foreign key, likewise |
| `set_not_null("deals.deals", "slug")` | NOT NULL, by a check that is validated first |
| `backfill("slugs", "deals.deals", "slug = lower(title)", "slug IS NULL")` | values of the rows that are there |
| `execute_alone("CREATE OR REPLACE FUNCTION …")` | anything else that takes no time |

And back: `drop_column`, `drop_index_concurrently`, `drop_constraint`, `drop_not_null`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from alembic import context, op

from storekeeper.catalog import Hypertable, Rollup
from storekeeper.errors import DeclarationError, MigrationError
from storekeeper.migrations.online.backfill import backfill
from storekeeper.migrations.online.checks import (
    add_check,
    add_foreign_key,
    drop_constraint,
    drop_not_null,
    set_not_null,
    validate_constraint,
)
from storekeeper.migrations.online.columns import add_column, drop_column, execute_alone
from storekeeper.migrations.online.indexes import create_index_concurrently, drop_index_concurrently
from storekeeper.migrations.series_made import Made
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.quoting import qualified, quoted, verbatim
from storekeeper.timescale.statement import Statement

__all__ = [
    "add_check",
    "add_column",
    "add_foreign_key",
    "alter_hypertable",
    "backfill",
    "create_hypertable",
    "create_index_concurrently",
    "create_rollup",
    "create_schema",
    "create_updated_at_trigger",
    "drop_column",
    "drop_constraint",
    "drop_hypertable",
    "drop_index_concurrently",
    "drop_not_null",
    "drop_rollup",
    "drop_schema_if_empty",
    "execute_alone",
    "execute_verbatim",
    "set_not_null",
    "validate_constraint",
]


def create_schema(name: str) -> None:
    """Makes a schema where there is none: another store's branch may have made it in the same database."""
    op.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(name)}")


def drop_schema_if_empty(name: str) -> None:
    """Drops a schema, unless something is in it: another store's branch, or what users made."""
    op.execute(f"""
        DO $block$ BEGIN
            DROP SCHEMA {quoted(name)};
        EXCEPTION WHEN dependent_objects_still_exist THEN NULL;
        END $block$
    """)


def create_updated_at_trigger(table: str) -> None:
    """Has the server set updated_at at every UPDATE of a table, whoever makes it. The trigger goes with its table."""
    schema, _, name = table.rpartition(".")
    op.execute(f"""
        CREATE TRIGGER {quoted(f"{name}_updated_at")} BEFORE UPDATE ON {qualified(schema, name)}
        FOR EACH ROW EXECUTE FUNCTION storekeeper.set_updated_at()
    """)


def execute_verbatim(sql: str) -> None:
    """Runs a statement in which nothing is a parameter, such as the body of a function."""
    op.execute(verbatim(sql))


def create_hypertable(hypertable: Hypertable) -> None:
    """Makes a series: its table, indexes and capture of changes. Its rollups are made one by one."""
    _noted(lambda made: made.create_hypertable(hypertable))
    _execute(_engine().create_hypertable(hypertable), hypertable.name)


def alter_hypertable(before: Hypertable, after: Hypertable) -> None:
    """Sets how a series is cut, compressed and watched, and what becomes of late rows, as `after` says; of the rollups
    that both have, how they are cut. Chunks that are there stay as they are. No rollup is made or dropped."""
    if before.name != after.name:
        raise DeclarationError(f"is no {before.name}", operation="migrate", target=after.name)
    _noted(lambda made: made.alter_hypertable(before, after))
    _execute(_engine().alter_hypertable(before, after), after.name)


def drop_hypertable(hypertable: Hypertable) -> None:
    """Drops a series and its rows. Its rollups go before it."""
    _noted(lambda made: made.drop_hypertable(hypertable))
    _execute(_engine().drop_hypertable(hypertable), hypertable.name)


def create_rollup(hypertable: Hypertable, name: str) -> None:
    """Makes a rollup of a series; those before it in the hypertable's list are there already."""
    _noted(lambda made: made.create_rollup(hypertable, name))
    _execute(_engine().create_rollup(hypertable, _rollup(hypertable, name)), f"{hypertable.schema}.{name}")


def drop_rollup(hypertable: Hypertable, name: str) -> None:
    """Drops a rollup and its rows; those after it in the hypertable's list went before."""
    _noted(lambda made: made.drop_rollup(hypertable, name))
    _execute(_engine().drop_rollup(hypertable, _rollup(hypertable, name)), f"{hypertable.schema}.{name}")


def _noted(note: Callable[[Made], None]) -> None:
    """Where somebody asks what the revisions make, rather than have it made."""
    made: Made | None = context.config.attributes.get("made")
    if made is not None:
        note(made)


def _engine() -> Engine:
    engine: Engine | None = context.config.attributes.get("engine")
    if engine is None:
        raise MigrationError(
            "series are of the timescale store", operation="migrate", hint="move it to the timescale revisions"
        )
    return engine


def _rollup(hypertable: Hypertable, name: str) -> Rollup:
    for rollup in hypertable.rollups:
        if rollup.name == name:
            return rollup
    raise DeclarationError(f"has no rollup {name}", operation="migrate", target=hypertable.name)


def _execute(statements: Iterable[Statement], target: str) -> None:
    for statement in statements:
        if statement.autocommit:
            raise MigrationError("needs more than one transaction", operation="migrate", target=target)
        op.execute(statement.clause())
