"""`migrate --to | new | status | stamp | fresh` and `seed`, as users have them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from command_line import Answer, CommandLine
from online_domain import FIRST, SECOND, write_domain

DECLARED = '''
"""The tables of lab, as they shall be."""
import sqlalchemy as sa
from storekeeper import Catalog, Domain

metadata = sa.MetaData(schema="lab")
shops = sa.Table("shops", metadata, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))
sales = sa.Table(
    "sales", metadata,
    sa.Column("id", sa.Uuid, primary_key=True, server_default=sa.text("gen_random_uuid()")),
    sa.Column("shop_id", sa.Integer, nullable=False), sa.Column("pieces", sa.Integer, nullable=False),
    sa.Column("price", sa.Numeric(10, 2), nullable=False), sa.Column("note", sa.Text),
)
visits = sa.Table(
    "visits", metadata, sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("shop_id", sa.Integer, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
)
CATALOG = Catalog((Domain("lab", tables=(shops, sales, visits), revisions="lab_revisions", seed="lab_seed:seed"),))
'''
#: What is asked of the tables beyond that.
MORE = """
sales.append_column(sa.Column("code", sa.String(20)))
sales.append_column(sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()")))
sa.Index("idx_sales_code", sales.c.code, sales.c.price.desc(), postgresql_where=sa.text("code IS NOT NULL"))
sa.Index("idx_visits_at", visits.c.at)
refunds = sa.Table(
    "refunds", metadata, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sale_id", sa.Uuid, sa.ForeignKey("lab.sales.id", name="refunds_sale_id_fkey")),
)
sa.Index("idx_refunds_sale", refunds.c.sale_id)
CATALOG = Catalog((Domain("lab", tables=(shops, sales, visits, refunds), revisions="lab_revisions"),))
"""
SEED = """
from sqlalchemy import text

def seed(session):
    made = session.execute(text("INSERT INTO lab.shops VALUES (1), (2) ON CONFLICT DO NOTHING"))
    return {"lab.shops": made.rowcount}
"""


@pytest.fixture
def lab(unmigrated: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """The command line with the catalogue of lab, at whose first revision its declaration is."""
    write_domain(tmp_path, FIRST)
    (tmp_path / "lab_catalog.py").write_text(DECLARED)
    (tmp_path / "lab_seed.py").write_text(SEED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield CommandLine(unmigrated.folder, {**unmigrated.settings, "STOREKEEPER_CATALOG": "lab_catalog:CATALOG"})
    forget()


def forget() -> None:
    """The next command reads the modules anew, as a new process would."""
    for name in [name for name in sys.modules if name.startswith("lab_")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def declare(folder: Path, text: str) -> None:
    (folder / "lab_catalog.py").write_text(text)
    forget()


def failing(answer: Answer) -> Any:
    return answer.error["cause"] + " " + answer.error["hint"]


def test_to_a_revision(lab: CommandLine, tmp_path: Path) -> None:
    write_domain(tmp_path, FIRST, SECOND)
    (tmp_path / "lab_catalog.py").write_text(DECLARED)
    planned = lab("migrate", "--plan", "--to", "lab@0001", "--json").json["steps"]
    done = lab("migrate", "--to", "lab@lab_0001", "--json").json["steps"]
    assert planned == done
    assert [step["target"] for step in done if step["store"] == "postgres"][-1] == "lab_0001"
    assert {step["action"] for step in done} == {"upgrade", "choose engine"}
    assert "nothing to do: lab@0001 is applied" in lab("migrate", "--to", "lab@0001").out
    assert "there is no lab_0009" in failing(lab("migrate", "--to", "lab@0009", "--json", code=5))
    assert "names no revision" in failing(lab("migrate", "--to", "lab", "--json", code=2))
    assert "has no revisions" in failing(lab("migrate", "--to", "shop@0001", "--json", code=5))
    lab("migrate", "--to", "lab@0002")
    assert "is at lab_0002 already" in failing(lab("migrate", "--to", "lab@0001", "--json", code=5))


def test_status(lab: CommandLine, postgres_url: str) -> None:
    before = lab("migrate", "status", "--json").json
    assert [b for b in before["branches"] if b["domain"] == "lab"] == [
        {"store": "postgres", "domain": "lab", "current": None, "pending": ["lab_0001"]}
    ]
    lab("migrate")
    after = lab("migrate", "status", "--json").json
    assert not any(branch["pending"] for branch in after["branches"])
    assert (after["drift"], after["backfills"], after["strangers"]) == ([], [], [])
    assert "all is applied, and as declared" in lab("migrate", "status").out
    with psycopg.connect(postgres_url) as connection:
        connection.execute("ALTER TABLE lab.sales DROP COLUMN note")
        connection.execute("ALTER TABLE lab.sales ADD CONSTRAINT check_some CHECK (pieces > 0) NOT VALID")
        connection.execute("CREATE INDEX idx_some ON ONLY lab.visits (shop_id)")
        connection.execute(
            "INSERT INTO storekeeper.backfills (revision, name, table_name, statement, rows_about, rows_seen) "
            "VALUES ('lab_0002', 'totals', 'lab.sales', 'UPDATE …', 1000, 300)"
        )
    told = lab("migrate", "status").out
    assert "under way: back-fill totals of lab.sales by lab_0002: 300 of about 1,000 rows" in told
    assert "drift: postgres: add_column lab.sales.note" in told
    assert "drift: postgres: rebuild_index lab.idx_some" in told
    assert "drift: postgres: validate_constraint lab.sales.check_some" in told


def test_a_new_revision_holds_what_is_lacking(lab: CommandLine, tmp_path: Path, postgres_url: str) -> None:
    lab("migrate")
    declare(tmp_path, DECLARED + MORE)
    drift = lab("migrate", "status", "--json").json["drift"]
    assert any("idx_visits_at" in line for line in drift)
    written = lab("migrate", "new", "lab", "-m", "codes of sales, and refunds", "--json").json
    path = Path(written["path"])
    assert (path.name, written["revision"]) == ("0002_codes_of_sales_and_refunds.py", "lab_0002")
    source = path.read_text()
    assert source.startswith('"""Codes of sales, and refunds."""')
    assert "online = True" in source
    for line in (
        'add_column("lab.sales", "code", "VARCHAR(20)")',
        'create_index_concurrently("idx_sales_code", "lab.sales", ["code, price DESC"], where="code IS NOT NULL")',
        'create_index_concurrently("idx_visits_at", "lab.visits", ["at"])',
        "CREATE TABLE IF NOT EXISTS lab.refunds (",
        'execute_alone("CREATE INDEX IF NOT EXISTS idx_refunds_sale ON lab.refunds (sale_id)")',
        'drop_column("lab.sales", "code")',
    ):
        assert line in source, source
    forget()
    lab("migrate")
    assert lab("migrate", "status", "--json").json["drift"] == [], source
    with psycopg.connect(postgres_url) as connection:
        parts = connection.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'lab.idx_visits_at'::regclass")
        assert parts.fetchone() == (4,)
    lab("migrate", "rollback", "lab", "--yes")
    declare(tmp_path, DECLARED)
    found = lab("migrate", "status", "--json").json
    assert found["branches"][1]["pending"] == ["lab_0002"]
    path.unlink()
    forget()
    assert lab("migrate", "status", "--json").json["drift"] == [], "and its way back takes all of it"


def test_a_new_revision_of_nothing_says_why(lab: CommandLine, tmp_path: Path) -> None:
    pending = lab("migrate", "new", "lab", "-m", "a", "--json").json
    assert "lab_0001 is pending" in pending["hints"][0]
    Path(pending["path"]).unlink()
    lab("migrate")
    same = lab("migrate", "new", "lab", "-m", "b").out
    assert "the domain's tables are as declared" in same
    (tmp_path / "lab_revisions" / "postgres" / "0002_b.py").unlink()
    nowhere = lab("migrate", "new", "lab", "-m", "c", "--json", STOREKEEPER_POSTGRES_URL="postgresql://127.0.0.1:9/x")
    assert "no store to compare with" in nowhere.json["hints"][0]
    compile(Path(nowhere.json["path"]).read_text(), "revision", "exec")
    assert "def upgrade() -> None:\n    pass\n" in Path(nowhere.json["path"]).read_text()
    forget()
    series = lab("migrate", "new", "lab", "-m", "d", "--store", "timescale", "--json").json
    assert Path(series["path"]).parent.name == "timescale"
    source = Path(series["path"]).read_text()
    assert 'branch_labels = ("lab",)' in source
    assert 'create_schema("lab")' in source
    assert "no such domain" in failing(lab("migrate", "new", "shop", "-m", "x", "--json", code=2))
    assert "says nothing" in failing(lab("migrate", "new", "lab", "-m", "…", "--json", code=2))


def test_stamp(lab: CommandLine, tmp_path: Path, postgres_url: str) -> None:
    assert "tables are not there" in failing(lab("migrate", "stamp", "lab@0001", "--json", code=5))
    lab("migrate", "--to", "storekeeper@0005")
    assert "none of the domain's tables" in failing(lab("migrate", "stamp", "lab@0001", "--json", code=5))
    assert "are run, not noted" in failing(lab("migrate", "stamp", "storekeeper@0001", "--json", code=5))
    assert "there is no lab_0007" in failing(lab("migrate", "stamp", "lab@0007", "--json", code=5))
    lab("migrate", "--to", "lab@0001")
    assert "without a revision" in failing(lab("migrate", "stamp", "lab@base", "--json", code=5))
    write_domain(tmp_path, FIRST, SECOND)
    declare(tmp_path, DECLARED)
    assert lab("migrate", "stamp", "lab@0002", "--json").json == {
        "stamped": ["postgres: lab from lab_0001 to lab_0002"]
    }
    assert lab("migrate", "status", "--json").json["branches"][1]["current"] == "lab_0002"
    assert "nothing to note" in lab("migrate", "stamp", "lab@0002").out
    lab("migrate", "stamp", "lab@0001")
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP SCHEMA lab CASCADE")
    lab("migrate", "stamp", "lab@base")
    assert lab("migrate", "status", "--json").json["branches"][1]["current"] is None


def test_fresh_asks_for_the_name(lab: CommandLine, postgres_url: str) -> None:
    lab("migrate")
    name = urlsplit(postgres_url).path.removeprefix("/")
    with psycopg.connect(postgres_url) as connection:
        connection.execute("INSERT INTO lab.shops VALUES (1)")
    assert f"--yes-destroy {name}" in failing(lab("migrate", "fresh", "--json", code=5))
    assert f"is {name}, not another" in failing(lab("migrate", "fresh", "--yes-destroy", "another", "--json", code=5))
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM lab.shops").fetchone() == (1,)
    done = lab("migrate", "fresh", "--yes-destroy", name, "--json").json
    assert any(line.startswith("postgres: lab, ") for line in done["dropped"])
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM lab.shops").fetchone() == (0,)
    assert "all is applied, and as declared" in lab("migrate", "status").out


def test_seed(lab: CommandLine, tmp_path: Path) -> None:
    assert "lab_0001" in failing(lab("seed", "lab", "--json", code=5))
    lab("migrate")
    assert lab("seed", "--json").json == {"seeded": [{"domain": "lab", "rows": {"lab.shops": 2}}]}
    assert lab("seed", "lab", "--json").json == {"seeded": [{"domain": "lab", "rows": {"lab.shops": 0}}]}
    assert "no such domain" in failing(lab("seed", "shop", "--json", code=2))
    declare(tmp_path, DECLARED.replace("lab_seed:seed", "lab_seed:sow"))
    assert "is no function" in failing(lab("seed", "lab", "--json", code=2))
    declare(tmp_path, DECLARED.replace(', seed="lab_seed:seed"', ""))
    assert "has no seed data" in failing(lab("seed", "lab", "--json", code=2))
