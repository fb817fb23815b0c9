"""`migrate new` of series: what it drafts makes the store what is declared, on each engine, and goes back."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from command_line import CommandLine
from series_servers import SeriesServer, parametrize_engines

pytestmark = pytest.mark.one_backend

HEAD = '''
"""The series of lab, as they shall be."""
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from storekeeper import *
from storekeeper import Catalog, Domain, Hypertable, Rollup, Measure, Aggregate, days, hours, minutes, ohlcv, years

metadata = sa.MetaData(schema="lab")
TIME = sa.DateTime(timezone=True)
OHLCV = ohlcv("price", "volume")
ticks_table = sa.Table(
    "ticks", metadata, sa.Column("time", TIME, nullable=False), sa.Column("symbol", sa.String(32), nullable=False),
    sa.Column("price", sa.Numeric(18, 6), nullable=False), sa.Column("volume", sa.Numeric(24, 8), nullable=False),
    sa.Column("note", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
    sa.CheckConstraint("price > 0", name="check_price"),
)
sa.Index("idx_ticks", ticks_table.c.symbol, ticks_table.c.time.desc(), unique=True)
sa.Index("idx_ticks_odd", ticks_table.c.price, postgresql_where=sa.text("volume > 5"))
odd_table = sa.Table(
    "Odd-ones", metadata, sa.Column("at", TIME, nullable=False), sa.Column("class", sa.Text, nullable=False),
)
sa.Index("idx_odd", sa.text("lower(class)"), odd_table.c.at)
'''
FIRST = (
    HEAD
    + """
ticks = Hypertable(
    ticks_table, time="time", natural_key=("symbol", "time"), chunk=days(1), segment_by=("symbol",),
    order_by=("time DESC",), compress_after=days(7), drop_after=days(30), rollups=(
        Rollup("ticks_5min", every=minutes(5), by=("symbol",), measures=OHLCV, keep=years(1)),
        Rollup("ticks_1h", every=hours(1), by=("symbol",), measures=OHLCV),
    ),
)
odd = Hypertable(odd_table, time="at", chunk=years(1))
CATALOG = Catalog((Domain("lab", hypertables=(ticks, odd), revisions="lab_revisions"),))
"""
)
#: A rollup in between, another chunk for rows and the finest rollup, columns of the columnstore, late rows.
SECOND = (
    HEAD
    + """
ticks = Hypertable(
    ticks_table, time="time", natural_key=("symbol", "time"), chunk=days(7), order_by=("time",),
    compress_after=days(7), drop_after=days(60), late_rows="keep", rollups=(
        Rollup("ticks_5min", every=minutes(5), by=("symbol",), measures=OHLCV, keep=years(1), chunk=days(10)),
        Rollup("ticks_30min", every=minutes(30), by=("symbol",), measures=OHLCV, keep=years(1)),
        Rollup("ticks_1h", every=hours(1), by=("symbol",), measures=OHLCV),
    ),
)
odd = Hypertable(
    odd_table, time="at", chunk=years(1), compress_after=days(3), rollups=(
        Rollup("odd_1d", every=days(1), by=("class",), measures=(Measure("count", Aggregate.COUNT),)),
    ),
)
CATALOG = Catalog((Domain("lab", hypertables=(ticks, odd), revisions="lab_revisions"),))
"""
)
#: One series less, one rollup less, one of other measures; and a column more.
THIRD = (
    HEAD
    + """
ticks_table.append_column(sa.Column("bid", sa.Numeric(18, 6)))
ticks = Hypertable(
    ticks_table, time="time", natural_key=("symbol", "time"), chunk=days(7), order_by=("time",),
    compress_after=days(7), drop_after=days(60), late_rows="keep", rollups=(
        Rollup("ticks_5min", every=minutes(5), by=("symbol",), measures=OHLCV[:5], keep=years(1), chunk=days(10)),
    ),
)
CATALOG = Catalog((Domain("lab", hypertables=(ticks,), revisions="lab_revisions"),))
"""
)

_TABLES = """
SELECT c.relname, c.relkind, array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = to_regnamespace('lab') AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
GROUP BY 1, 2 ORDER BY 1
"""
_INDEXES = "SELECT indexname, indexdef FROM pg_catalog.pg_indexes WHERE schemaname = 'lab' ORDER BY 1"
_MARKS = "SELECT dataset, late_rows, chunk, rolled_up FROM storekeeper.watermarks ORDER BY 1"
_TRIGGERS = """
SELECT tgname FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = to_regnamespace('lab') ORDER BY 1
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize_engines(metafunc)


@dataclass(frozen=True)
class Lab:
    """A domain of series alone, and the command line that has it."""

    run: CommandLine
    folder: Path
    url: str

    def declare(self, text: str) -> None:
        (self.folder / "lab_catalog.py").write_text(text)
        forget()

    def new(self, message: str) -> tuple[str, list[str]]:
        """Drafts; the source of the revision, and the hints."""
        written = self.run("migrate", "new", "lab", "-m", message, "--store", "timescale", "--json").json
        forget()
        source = Path(written["path"]).read_text()
        compile(source, written["path"], "exec")
        return source, written["hints"]

    def migrate(self, *, leaves_drift: bool = False) -> list[str]:
        """What was done to the series' store, and whether anything differs after it."""
        steps = self.run("migrate", "--json").json["steps"]
        drift = self.run("migrate", "status", "--json").json["drift"]
        assert bool(drift) == leaves_drift, drift
        return [f"{step['action']} {step['target']}" for step in steps if step["store"] == "timescale"]

    def shape(self) -> list[Any]:
        """Tables with their columns, indexes, what is on record, triggers."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return [connection.execute(query.encode()).fetchall() for query in (_TABLES, _INDEXES, _MARKS, _TRIGGERS)]


def forget() -> None:
    """The next command reads the modules anew, as a new process would."""
    for name in [name for name in sys.modules if name.startswith("lab_")]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def lab(
    unmigrated: CommandLine, series_server: SeriesServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lab]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "lab_revisions").mkdir()
    (tmp_path / "lab_revisions" / "__init__.py").touch()
    with series_server.database("SELECT 1") as url:
        settings = {"STOREKEEPER_CATALOG": "lab_catalog:CATALOG", "STOREKEEPER_TIMESCALE_URL": url}
        lab = Lab(CommandLine(unmigrated.folder, {**unmigrated.settings, **settings}), tmp_path, url)
        lab.declare(HEAD + 'CATALOG = Catalog((Domain("lab", revisions="lab_revisions"),))')
        lab.run("migrate")
        lab.declare(FIRST)
        yield lab
    forget()


def test_what_is_drafted_makes_the_store_what_is_declared_and_goes_back(lab: Lab) -> None:
    source, hints = lab.new("ticks, and odd ones")
    assert "op.create_table" not in source
    for line in ('create_schema("lab")', "create_hypertable(ticks())", 'create_rollup(ticks(), "ticks_1h")'):
        assert line in source, source
    assert "upgrade lab_0001" in lab.migrate(), source
    first = lab.shape()
    assert "it is empty" in lab.run("migrate", "new", "lab", "-m", "x", "--store", "timescale").out
    (lab.folder / "lab_revisions" / "timescale" / "0002_x.py").unlink()
    forget()

    lab.declare(SECOND)
    with psycopg.connect(lab.url, autocommit=True) as somebody:
        somebody.execute("CREATE TABLE lab.own (id int)")
    source, hints = lab.new("half hours")
    with psycopg.connect(lab.url, autocommit=True) as somebody:
        somebody.execute("DROP TABLE lab.own")
    assert "lab.own is nobody's, and is left alone" in hints
    for line in (
        "alter_hypertable(ticks_before(), ticks())",
        'drop_rollup(ticks_before(), "ticks_1h")',
        'create_rollup(ticks(), "ticks_30min")',
        'create_rollup(odd_ones(), "odd_1d")',
    ):
        assert line in source, source
    assert any("lab.ticks_1h is dropped and made anew" in hint for hint in hints), hints
    assert any("drop_after of lab.ticks (30d → 60d)" in hint for hint in hints), hints
    assert "upgrade lab_0002" in lab.migrate(), source
    second = lab.shape()
    assert second != first

    lab.declare(THIRD)
    source, hints = lab.new("bids")
    assert 'add_column("lab.ticks", "bid", "NUMERIC(18, 6)")' in source
    assert "hypertable(" not in source
    assert any("write the next one" in hint for hint in hints), hints
    assert "upgrade lab_0003" in lab.migrate(leaves_drift=True), source
    source, hints = lab.new("fewer")
    assert "drop_hypertable(odd_ones())" in source
    assert any("lab.Odd-ones is dropped, with its rows" in hint for hint in hints), hints
    assert "upgrade lab_0004" in lab.migrate(), source

    revisions = sorted((lab.folder / "lab_revisions" / "timescale").glob("0*.py"))
    for declared, shape, count in ((SECOND, second, 2), (FIRST, first, 1)):
        lab.run("migrate", "rollback", "lab", str(count), "--yes")
        assert lab.shape() == shape
        for newest in revisions[-count:]:
            newest.unlink()
        del revisions[-count:]
        lab.declare(declared)
        assert lab.migrate() == [], "nothing is left to be set"
    lab.run("migrate", "rollback", "lab", "--yes")
    assert lab.shape() == [[], [], [], []]


@pytest.mark.partitions
def test_a_column_goes_after_what_is_made_of_it(lab: Lab) -> None:
    by_note = (
        FIRST.replace("by=(", "by=('note', ").replace("JSONB, nullable", "sa.Text, nullable").replace("::jsonb", "")
    )
    lab.declare(by_note)
    lab.new("ticks by their notes")
    lab.migrate()
    shape = lab.shape()
    without = "\n".join(line for line in FIRST.splitlines() if '"note"' not in line)
    lab.declare(without)
    source, hints = lab.new("no notes in rollups")
    assert 'drop_rollup(ticks_before(), "ticks_5min")' in source
    assert "drop_column" not in source
    assert any("write the next one, for the tables" in hint for hint in hints), hints
    lab.migrate(leaves_drift=True)
    source, _ = lab.new("no notes")
    assert 'drop_column("lab.ticks", "note")' in source
    assert "rollup(" not in source
    lab.migrate()
    lab.run("migrate", "rollback", "lab", "2", "--yes")
    assert sorted(lab.shape()[2]) == sorted(shape[2])
