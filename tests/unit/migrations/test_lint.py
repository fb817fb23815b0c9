"""The lint over every revision's SQL: those that ship stop no writer, and one that would is found."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from online_domain import FIRST, SECOND, domain, write_domain
from storekeeper.catalog import load_catalog
from storekeeper.errors import MigrationError
from storekeeper.migrations.history import History
from storekeeper.migrations.rendering import downgrade_sql, upgrade_sql

Written = Callable[..., History]

TOOL = Path(__file__).parents[3] / "tools" / "lint_revisions.py"

HEAD = '''
"""Something."""
from alembic import op
from storekeeper.migrations.operations import *
revision, down_revision, branch_labels, depends_on = "lab_0002", "lab_0001", None, None
'''


@pytest.fixture
def lint(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, as a module."""
    spec = importlib.util.spec_from_file_location("lint_revisions", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lint_revisions", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Writes lab with its first revision and a second one."""
    monkeypatch.syspath_prepend(tmp_path)
    package = f"linted_{abs(hash(tmp_path))}"
    yield lambda second: History("postgres", domain(write_domain(tmp_path, FIRST, second, package=package)))
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]


def rules(lint: ModuleType, history: History) -> set[str]:
    return {finding.rule for finding in lint.of_revision(history, history.branches["lab"][-1])}


def revision(statement: str, *, online: bool = False) -> str:
    return f"{HEAD}online = {online}\ndef upgrade():\n    {statement}\n\ndef downgrade():\n    pass\n"


def test_what_ships_stops_no_writer(lint: ModuleType) -> None:
    found = lint.findings(load_catalog("storekeeper.domains:CATALOG"))
    assert not found, "\n".join(map(str, found))


def test_a_good_one_passes(lint: ModuleType, written: Written) -> None:
    history = written(SECOND)
    for script in history.branches["lab"]:
        assert list(lint.of_revision(history, script)) == []


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ('op.execute("CREATE INDEX idx_x ON lab.sales (shop_id)")', "require-concurrent-index-creation"),
        ('op.execute("DROP INDEX lab.idx_x")', "require-concurrent-index-deletion"),
        ('op.execute("ALTER TABLE lab.sales ADD COLUMN x int NOT NULL")', "adding-required-field"),
        (
            'op.execute("ALTER TABLE lab.sales ADD COLUMN x uuid DEFAULT gen_random_uuid()")',
            "adding-field-with-default",
        ),
        ('op.execute("ALTER TABLE lab.sales ALTER COLUMN note SET NOT NULL")', "adding-not-nullable-field"),
        ('op.execute("ALTER TABLE lab.sales ADD CONSTRAINT c CHECK (pieces > 0)")', "constraint-missing-not-valid"),
        (
            'op.execute("ALTER TABLE lab.sales ADD CONSTRAINT c FOREIGN KEY (shop_id) REFERENCES lab.shops (id)")',
            "adding-foreign-key-constraint",
        ),
        ('op.execute("ALTER TABLE lab.sales ALTER COLUMN pieces TYPE bigint")', "changing-column-type"),
        ('op.execute("ALTER TABLE lab.sales ADD CONSTRAINT c UNIQUE (note)")', "disallowed-unique-constraint"),
        (
            'op.execute("CREATE INDEX CONCURRENTLY a ON lab.sales (note)"); op.execute("CREATE TABLE lab.x (id int)")',
            "ban-concurrent-index-creation-in-transaction",
        ),
    ],
)
def test_a_bad_one_is_found(lint: ModuleType, written: Written, statement: str, rule: str) -> None:
    assert rule in rules(lint, written(revision(statement)))


def test_what_cannot_be_run_twice_is_found(lint: ModuleType, written: Written) -> None:
    assert "prefer-robust-stmts" in rules(
        lint, written(revision('op.execute("CREATE TABLE lab.x (id int)")', online=True))
    )


def test_a_view_that_the_revision_makes_is_indexed_at_once(lint: ModuleType) -> None:
    making = ["CREATE MATERIALIZED VIEW lab.seen AS SELECT 1 AS id", "CREATE UNIQUE INDEX idx_seen ON lab.seen (id)"]
    assert list(lint.linted("x", making, in_transaction=True)) == []
    (found,) = lint.linted("x", making[1:], in_transaction=True)
    assert (found.rule, found.statement) == ("require-concurrent-index-creation", f"{making[1]};")


def test_a_linter_that_does_not_run_is_loud(lint: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "squawk"
    broken.write_text("#!/bin/sh\necho this machine is too old >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(lint, "_squawk", lambda: str(broken))
    with pytest.raises(RuntimeError, match="this machine is too old"):
        list(lint.linted("x", ["SELECT 1"], in_transaction=True))


def test_a_revision_that_asks_the_server_cannot_be_read(written: Written) -> None:
    history = written(revision('op.get_bind().exec_driver_sql("SELECT 1")'))
    with pytest.raises(MigrationError, match="asks the server"):
        upgrade_sql(history, history.branches["lab"][-1])


def test_a_revision_as_sql(written: Written) -> None:
    history = written(SECOND)
    up = upgrade_sql(history, history.branches["lab"][-1])
    assert up[0] == "ALTER TABLE lab.sales ADD COLUMN IF NOT EXISTS total numeric(14,2)"
    assert "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_sales_total ON lab.sales" in "\n".join(up)
    assert downgrade_sql(history, history.branches["lab"][-1])[-1].endswith("DROP COLUMN IF EXISTS total")


def test_a_finding_says_where(lint: ModuleType) -> None:
    told = str(lint.Finding("postgres:lab_0002", "some-rule", 3, "it stops writers", "CREATE …"))
    assert told.startswith("postgres:lab_0002: some-rule: it stops writers")
