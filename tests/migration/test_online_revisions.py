"""Revisions that run outside of one transaction: what they make, what they leave when cut off, and their way back."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from online_domain import FIRST, ROWS, SECOND, domain, write_domain
from storekeeper import Catalog, Platform
from storekeeper.errors import (
    CheckError,
    ConflictError,
    DeclarationError,
    ForeignKeyError,
    MigrationError,
    StatementTimeoutError,
    UniqueError,
)
from storekeeper.migrations import Step, apply, plan, rollback
from storekeeper.migrations.online import backfill as batches, retrying

Opened = Callable[..., Platform]
Write = Callable[..., Catalog]

HEAD = '''
"""Something."""
from storekeeper.migrations.operations import *

revision, down_revision, branch_labels, depends_on = "lab_0002", "lab_0001", None, None
online = True
'''


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes lab with its first revision and a second one, as a module, and returns the catalogue."""
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda second: domain(write_domain(tmp_path, FIRST, second))
    for name in [name for name in sys.modules if name.startswith("lab_revisions")]:
        del sys.modules[name]


def body(up: str, down: str = "pass", head: str = HEAD) -> str:
    lines = "\n".join(f"    {line}" for line in up.splitlines())
    return f"{head}\ndef upgrade():\n{lines}\n\ndef downgrade():\n    {down}\n"


def with_rows(opened: Opened, url: str, catalog: Catalog, sales: int = 3000, visits: int = 2000) -> Platform:
    """lab at its first revision, with rows."""
    platform = opened(url, catalog=catalog)
    apply(platform, plan(platform, to="lab@0001"))
    with psycopg.connect(url) as connection:
        connection.execute(ROWS.format(sales=sales, visits=visits).encode())
    return platform


def asked(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def shape(url: str) -> list[tuple[Any, ...]]:
    """Indexes, constraints, triggers and columns of lab, and what its rows hold."""
    return [
        *asked(
            url,
            "SELECT x.relname, replace(pg_get_indexdef(i.indexrelid), ' ONLY', ''), i.indisvalid FROM pg_index i "
            "JOIN pg_class x ON x.oid = i.indexrelid WHERE x.relnamespace = 'lab'::regnamespace ORDER BY 1",
        ),
        *asked(
            url,
            "SELECT conrelid::regclass::text, conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = 'lab'::regnamespace ORDER BY 1, 2",
        ),
        *asked(url, "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"),
        *asked(
            url,
            "SELECT attrelid::regclass::text, attname, attnotnull FROM pg_attribute "
            "JOIN pg_class c ON c.oid = attrelid WHERE c.relnamespace = 'lab'::regnamespace AND attnum > 0 "
            "AND NOT attisdropped AND c.relkind IN ('r', 'p') ORDER BY 1, 2",
        ),
    ]


def test_up_and_down_and_up_again(opened: Opened, write: Write, postgres_url: str) -> None:
    platform = with_rows(opened, postgres_url, write(SECOND))
    before = shape(postgres_url)
    told: list[Step] = []
    apply(platform, tell=told.append)
    assert plan(platform).todo == ()
    assert asked(postgres_url, "SELECT count(*), count(*) FILTER (WHERE total = pieces * price) FROM lab.sales") == [
        (3000, 3000)
    ]
    full = shape(postgres_url)
    assert asked(postgres_url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
    assert asked(postgres_url, "SELECT count(*) FROM pg_constraint WHERE NOT convalidated") == [(0,)]
    assert [step.detail for step in told if step.action == "online"][-1].startswith("foreign key visits_shop_id_fkey")
    done = "SELECT rows_about, rows_seen, rows_changed, finished_at IS NOT NULL FROM storekeeper.backfills"
    assert asked(postgres_url, done) == [(3000, 3000, 3000, True)]

    assert rollback(platform, "lab") == ("postgres: lab_0002",)
    assert shape(postgres_url) == before
    assert asked(postgres_url, "SELECT count(*) FROM storekeeper.backfills") == [(0,)], "the next time it begins anew"
    apply(platform)
    assert shape(postgres_url) == full
    assert asked(postgres_url, "SELECT count(*) FROM lab.sales WHERE total IS NULL") == [(0,)]


def test_run_again_it_changes_nothing(opened: Opened, write: Write, postgres_url: str) -> None:
    platform = with_rows(opened, postgres_url, write(SECOND))
    apply(platform)
    full = shape(postgres_url)
    rows = asked(postgres_url, "SELECT xmin, ctid, id FROM lab.sales ORDER BY id")
    with psycopg.connect(postgres_url) as connection:  # as if it was cut off before it was recorded
        connection.execute("UPDATE storekeeper.alembic_postgres SET version_num = 'lab_0001' WHERE version_num ~ 'lab'")
    apply(platform)
    assert shape(postgres_url) == full
    assert asked(postgres_url, "SELECT xmin, ctid, id FROM lab.sales ORDER BY id") == rows


def test_a_leftover_is_found_and_made_anew(opened: Opened, write: Write, postgres_url: str) -> None:
    second = body(
        'create_index_concurrently("idx_note", "lab.sales", ["note"], unique=True)\n'
        'create_index_concurrently("idx_visits", "lab.visits", ["shop_id"])'
    )
    platform = with_rows(opened, postgres_url, write(second))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("UPDATE lab.sales SET note = 'twice' WHERE shop_id = 1")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY idx_note ON lab.sales (note)")
        connection.execute("UPDATE lab.sales SET note = NULL")
        # of the partitioned table: the parent alone, and one invalid part
        connection.execute("CREATE INDEX idx_visits ON ONLY lab.visits (shop_id)")
        connection.execute("CREATE INDEX visits_2024_02_idx_visits ON lab.visits_2024_02 (shop_id)")
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'lab.visits_2024_02_idx_visits'::regclass"
        )
    apply(platform)
    invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
    assert asked(postgres_url, invalid) == []
    parts = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'lab.idx_visits'::regclass"
    assert asked(postgres_url, parts) == [(4,)]


def test_a_unique_index_that_rows_forbid_leaves_nothing(opened: Opened, write: Write, postgres_url: str) -> None:
    second = body('create_index_concurrently("idx_shop", "lab.sales", ["shop_id"], unique=True)')
    platform = with_rows(opened, postgres_url, write(second))
    with pytest.raises(UniqueError, match="lab_0002"):
        apply(platform)
    assert asked(postgres_url, "SELECT to_regclass('lab.idx_shop')::text") == [(None,)]
    assert [step.target for step in plan(platform, to="lab@0002").todo] == ["lab_0002"]


def test_a_partition_of_partitions(opened: Opened, write: Write, postgres_url: str) -> None:
    second = body(
        'create_index_concurrently("idx_visits", "lab.visits", ["shop_id"])',
        'drop_index_concurrently("idx_visits", "lab.visits")',
    )
    platform = with_rows(opened, postgres_url, write(second))
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "CREATE TABLE lab.visits_2024_05 PARTITION OF lab.visits "
            "FOR VALUES FROM ('2024-05-01Z') TO ('2024-06-01Z') PARTITION BY HASH (id)"
        )
        for part in range(2):
            connection.execute(
                f"CREATE TABLE lab.visits_2024_05_{part} PARTITION OF lab.visits_2024_05 "
                f"FOR VALUES WITH (MODULUS 2, REMAINDER {part})"
            )
    apply(platform)
    tree = "SELECT count(*), bool_and(indisvalid) FROM pg_partition_tree('lab.idx_visits') JOIN pg_index "
    tree += "ON indexrelid = relid"
    assert asked(postgres_url, tree) == [(1 + 5 + 2, True)]
    rollback(platform, "lab")
    assert asked(postgres_url, "SELECT count(*) FROM pg_class WHERE relname ~ 'idx_visits'") == [(0,)]


def test_a_row_that_does_not_pass_is_told(opened: Opened, write: Write, postgres_url: str) -> None:
    platform = with_rows(
        opened, postgres_url, write(body('add_check("lab.sales", "check_pieces", "pieces < 9")', "pass"))
    )
    with pytest.raises(CheckError, match="check_pieces"):
        apply(platform)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE lab.sales SET pieces = 8 WHERE pieces = 9")
    apply(platform)
    assert asked(postgres_url, "SELECT convalidated FROM pg_constraint WHERE conname = 'check_pieces'") == [(True,)]


def test_a_foreign_key_holds_for_new_rows_before_it_does_for_old_ones(
    opened: Opened, write: Write, postgres_url: str
) -> None:
    second = body('add_foreign_key("lab.sales", "sales_shop_id_fkey", ["shop_id"], "lab.shops", ["id"])')
    platform = with_rows(opened, postgres_url, write(second))
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DELETE FROM lab.shops WHERE id = 7")
    with pytest.raises(ForeignKeyError, match="sales_shop_id_fkey"):
        apply(platform)
    with psycopg.connect(postgres_url) as connection, pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute("INSERT INTO lab.sales (shop_id, pieces, price) VALUES (7, 1, 1)")
    with psycopg.connect(postgres_url) as connection:
        connection.execute("INSERT INTO lab.shops VALUES (7)")
    apply(platform)
    assert asked(postgres_url, "SELECT convalidated FROM pg_constraint WHERE conname = 'sales_shop_id_fkey'") == [
        (True,)
    ]


def test_what_is_filled_begins_anew_after_an_earlier_revision_went_back(
    opened: Opened, write: Write, postgres_url: str
) -> None:
    second = body('backfill("notes", "lab.sales", "note = upper(note)", "note IS NOT NULL", batch=50)')
    platform = with_rows(opened, postgres_url, write(second), 1, 1)
    with psycopg.connect(postgres_url) as connection:  # cut off in the middle, of other rows
        connection.execute(
            "INSERT INTO storekeeper.backfills (revision, name, table_name, statement, at, rows_about) VALUES "
            "('lab_0002', 'notes', 'lab.sales', 'x', ARRAY['ffffffff-ffff-ffff-ffff-ffffffffffff'], 1), "
            "('lab_0000', 'kept', 'lab.sales', 'x', NULL, 1), ('lab_x_0002', 'kept', 'lab.sales', 'x', NULL, 1)"
        )
    rollback(platform, "lab")
    assert asked(postgres_url, "SELECT revision FROM storekeeper.backfills ORDER BY 1") == [
        ("lab_0000",),
        ("lab_x_0002",),
    ]


def test_a_backfill_goes_on_where_it_was(
    opened: Opened, write: Write, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # counts up, so that a row that is looked at twice shows
    second = body('backfill("prices", "lab.sales", "price = price + 1", "pieces > 0", batch=100)')
    platform = with_rows(opened, postgres_url, write(second))
    before = asked(postgres_url, "SELECT sum(price) FROM lab.sales")[0][0]
    batch = batches._next
    calls = iter(range(100))

    def cut_off(*arguments: Any) -> Any:
        if next(calls) == 7:
            raise KeyboardInterrupt
        return batch(*arguments)

    monkeypatch.setattr(batches, "_next", cut_off)
    with pytest.raises(KeyboardInterrupt):
        apply(platform)
    assert asked(postgres_url, "SELECT rows_seen, rows_changed FROM storekeeper.backfills") == [(700, 700)]
    monkeypatch.setattr(batches, "_next", batch)
    apply(platform)
    assert asked(postgres_url, "SELECT sum(price) FROM lab.sales") == [(before + 3000,)]


def test_a_backfill_of_a_partitioned_table(opened: Opened, write: Write, postgres_url: str) -> None:
    second = body('backfill("shops", "lab.visits", "shop_id = shop_id + 100", "shop_id < 50", batch=77)')
    platform = with_rows(opened, postgres_url, write(second))
    apply(platform)
    assert asked(postgres_url, "SELECT min(shop_id), max(shop_id), count(*) FROM lab.visits") == [(50, 149, 2000)]
    done = "SELECT rows_about, rows_seen, rows_changed FROM storekeeper.backfills"
    assert asked(postgres_url, done) == [(2000, 2000, 1000)]


def test_a_backfill_that_has_changed_is_refused(
    opened: Opened, write: Write, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = body('backfill("notes", "lab.sales", "note = \'a:b 100%\'", "note IS NULL")')
    platform = with_rows(opened, postgres_url, write(second))
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "INSERT INTO storekeeper.backfills (revision, name, table_name, statement, rows_about) "
            "VALUES ('lab_0002', 'notes', 'lab.sales', 'UPDATE of another kind', 1)"
        )
    with pytest.raises(MigrationError, match="UPDATE of another kind"):
        apply(platform)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DELETE FROM storekeeper.backfills")
    apply(platform)
    assert asked(postgres_url, "SELECT DISTINCT note FROM lab.sales") == [("a:b 100%",)]


def test_a_table_that_is_used_is_waited_for_and_told(
    opened: Opened, write: Write, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "PAUSE_SECONDS", 0.01)
    platform = with_rows(opened, postgres_url, write(body('add_column("lab.sales", "x", "int")')))
    told: list[Step] = []
    with psycopg.connect(postgres_url) as reader:
        reader.execute("SELECT FROM lab.sales LIMIT 1")

        def tell(step: Step) -> None:
            told.append(step)
            if len([step for step in told if step.action == "wait"]) == 3:
                reader.rollback()

        apply(platform, tell=tell)
    assert [step.detail.rpartition(", ")[2] for step in told if step.action == "wait"] == [
        "attempt 1",
        "attempt 2",
        "attempt 3",
    ]
    monkeypatch.setattr(retrying, "ATTEMPTS", 2)
    rollback(platform, "lab")
    with psycopg.connect(postgres_url) as reader:
        reader.execute("SELECT FROM lab.sales LIMIT 1")
        with pytest.raises(ConflictError, match=r"postgres by lab_0002: column lab\.sales\.x"):
            apply(platform)


def test_what_would_rewrite_a_table_is_given_up(
    opened: Opened, write: Write, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "ATTEMPTS", 1)
    rewriting = 'add_column("lab.shops", "slow", "text DEFAULT pg_sleep(0.02)::text || clock_timestamp()")'
    platform = with_rows(opened, postgres_url, write(body(rewriting)))
    with pytest.raises(StatementTimeoutError, match=r"column lab\.shops\.slow"):
        apply(platform)


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (body('add_column("lab.sales", "x", "int")', head=HEAD.replace("online = True", "")), "online = True"),
        (body('add_column("sales", "x", "int")'), "schema.table"),
        (body('create_index_concurrently("idx_visits", "lab.visits2", ["shop_id"])'), "no such table"),
        (body('create_index_concurrently("sales_pkey", "lab.shops", ["id"])'), "is an index of lab.sales"),
    ],
)
def test_mistakes_are_named(opened: Opened, write: Write, postgres_url: str, second: str, told: str) -> None:
    platform = with_rows(opened, postgres_url, write(second), 1, 1)
    with pytest.raises((DeclarationError, MigrationError), match=re.escape(told)):
        apply(platform)


def test_other_migrations_take_their_turn_in_a_transaction(opened: Opened, write: Write, postgres_url: str) -> None:
    second = body("pass") + "\n"
    platform = with_rows(opened, postgres_url, write(second), 1, 1)
    apply(platform)
    assert asked(postgres_url, "SELECT version_num FROM storekeeper.alembic_postgres ORDER BY 1")[0] == ("lab_0002",)
