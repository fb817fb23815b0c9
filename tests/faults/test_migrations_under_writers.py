"""A revision with a column, an index, a check and a back-fill, while eight clients write; killed twice on its way."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from command_line import CommandLine
from online_domain import FIRST, ROWS, SECOND, domain, path_with, write_domain
from online_writers import writing
from storekeeper import Platform, connect
from storekeeper.migrations import apply, plan, rollback

pytestmark = pytest.mark.faults

SOAK = os.environ.get("STOREKEEPER_TEST_PROFILE") == "soak"
SALES, VISITS = (2_000_000, 1_000_000) if SOAK else (100_000, 50_000)
#: A writer may wait for so long.
STALL_SECONDS = 1.0

_LEFT = """
SELECT conrelid::regclass::text, conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'lab'::regnamespace
UNION ALL
SELECT indrelid::regclass::text, indexrelid::regclass::text, indisvalid,
    replace(pg_get_indexdef(indexrelid), ' ONLY', '')
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = 'lab'::regnamespace
UNION ALL
SELECT attrelid::regclass::text, attname, attnotnull, format_type(atttypid, atttypmod)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'lab'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT tgrelid::regclass::text, tgname, true, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
ORDER BY 1, 2
"""
_BACKFILL_IS_HALFWAY = "SELECT rows_seen > rows_about / 2 FROM storekeeper.backfills"
_INDEX_IS_BEING_BUILT = (
    "SELECT true FROM pg_index WHERE indexrelid = to_regclass('lab.idx_sales_total') AND NOT indisvalid"
)
_RECORDED = "SELECT version_num FROM storekeeper.alembic_postgres WHERE version_num ~ 'lab'"


def asked(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def made_in_one_go(platform: Platform, url: str) -> list[tuple[Any, ...]]:
    apply(platform, plan(platform, to="lab@0002"))
    found = asked(url, _LEFT)
    rollback(platform, "lab", None)
    return found


@pytest.fixture
def platform(
    tmp_path: Path, postgres_url: str, mongo_url: str, mongo_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    """lab, whose tables are not made yet."""
    package = write_domain(tmp_path, FIRST, SECOND)
    monkeypatch.syspath_prepend(tmp_path)
    with connect(
        stores=("postgres", "mongo"),
        catalog=domain(package),
        postgres_url=postgres_url,
        mongo_url=mongo_url,
        mongo_database=mongo_prefix,
    ) as opened:
        yield opened
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]


@pytest.mark.timeout(3000 if SOAK else 300)
def test_no_writer_is_stopped(platform: Platform, unmigrated: CommandLine, postgres_url: str, tmp_path: Path) -> None:
    child = {**path_with(tmp_path), "STOREKEEPER_CATALOG": "lab_catalog:CATALOG"}
    wanted = made_in_one_go(platform, postgres_url)
    apply(platform, plan(platform, to="lab@0001"))
    before = asked(postgres_url, _LEFT)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(ROWS.format(sales=SALES, visits=VISITS).encode())

    with writing(postgres_url) as undisturbed:
        time.sleep(2)  # what writes cost by themselves
    print(undisturbed.told("undisturbed"))

    with writing(postgres_url) as writes:
        began = time.monotonic()
        for until in (_BACKFILL_IS_HALFWAY, _INDEX_IS_BEING_BUILT):
            with unmigrated.started("migrate", "--to", "lab@0002", **child) as process:
                while not any(row[0] for row in asked(postgres_url, until)):
                    assert process.poll() is None, process.communicate()
                process.kill()
            assert asked(postgres_url, _RECORDED) == [("lab_0001",)], "it is not on record before it is done"
        unmigrated.process("migrate", "--to", "lab@0002", code=0, **child)
        took = time.monotonic() - began
    print(writes.told(f"migrated {SALES:,} + {VISITS:,} rows in {took:.0f} s, killed twice"))
    assert writes.failed == []
    assert writes.longest < STALL_SECONDS
    assert asked(postgres_url, _LEFT) == wanted
    wrong = "SELECT count(*) FROM lab.sales WHERE total IS DISTINCT FROM pieces * price"
    assert asked(postgres_url, wrong) == [(0,)]
    assert asked(
        postgres_url, "SELECT rows_changed <= rows_seen, finished_at IS NOT NULL FROM storekeeper.backfills"
    ) == [(True, True)]

    with writing(postgres_url) as writes:
        rollback(platform, "lab")
    print(writes.told("rolled back"))
    assert writes.failed == []
    assert writes.longest < STALL_SECONDS
    assert asked(postgres_url, _LEFT) == before
