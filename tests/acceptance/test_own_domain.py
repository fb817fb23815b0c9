"""A domain of the user's own: declared in a package in the current folder, named by --catalog, used as any other."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from command_line import CommandLine, clean_environment

DATA = '''
"""What the weather stations of this example measure."""

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel
from storekeeper import Aggregate, Catalog, Collection, Domain, Hypertable, Keyspace, Measure, Rollup, days, hours

readings = sa.Table(
    "readings",
    sa.MetaData(schema="weather"),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("station", sa.String(20), nullable=False),
    sa.Column("celsius", sa.Numeric(5, 2), nullable=False),
    sa.CheckConstraint("celsius > -90", name="check_celsius"),
)
sa.Index("idx_readings_station_at", readings.c.station, readings.c.at.desc(), unique=True)
READINGS = Hypertable(
    readings, time="at", natural_key=("station", "at"), chunk=days(7), segment_by=("station",), drop_after=days(60),
    rollups=(Rollup("readings_1h", every=hours(1), by=("station",), measures=(
        Measure("coldest", Aggregate.MIN, ("celsius",)), Measure("warmest", Aggregate.MAX, ("celsius",)),
        Measure("count", Aggregate.COUNT),
    )),),
)

class Alarm(BaseModel):
    at: AwareDatetime
    text: str

ALARMS = Collection("alarms", model=Alarm, time="at", drop_after=days(400))
LATEST = Keyspace("weather:{station}", kind="hash", model=Alarm, ttl=hours(1))
CATALOG = Catalog((Domain(
    "weather", hypertables=(READINGS,), collections=(ALARMS,), keyspaces=(LATEST,), revisions=REVISIONS,
),))
'''

REVISION = '''
"""Readings of the stations, by hour too."""

import sqlalchemy as sa
from storekeeper import Aggregate, Hypertable, Measure, Rollup, days, hours
from storekeeper.migrations.operations import (
    create_hypertable, create_rollup, create_schema, drop_hypertable, drop_rollup, drop_schema_if_empty,
)

revision = "weather_0001"
down_revision = None
branch_labels = ("weather",)
depends_on = None


def readings():
    table = sa.Table(
        "readings",
        sa.MetaData(schema="weather"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("station", sa.String(20), nullable=False),
        sa.Column("celsius", sa.Numeric(5, 2), nullable=False),
        sa.CheckConstraint("celsius > -90", name="check_celsius"),
    )
    sa.Index("idx_readings_station_at", table.c.station, table.c.at.desc(), unique=True)
    measures = (
        Measure("coldest", Aggregate.MIN, ("celsius",)), Measure("warmest", Aggregate.MAX, ("celsius",)),
        Measure("count", Aggregate.COUNT),
    )
    return Hypertable(
        table, time="at", natural_key=("station", "at"), chunk=days(7), segment_by=("station",),
        rollups=(Rollup("readings_1h", every=hours(1), by=("station",), measures=measures),),
    )


def upgrade():
    create_schema("weather")
    create_hypertable(readings())
    create_rollup(readings(), "readings_1h")


def downgrade():
    drop_rollup(readings(), "readings_1h")
    drop_hypertable(readings())
    drop_schema_if_empty("weather")
'''
FIRST = datetime(2024, 3, 1, tzinfo=UTC)


def write_package(folder: Path, *, revisions: str) -> None:
    package = folder / "station"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "data.py").write_text(f"REVISIONS = {revisions}\n{DATA}")
    made = package / "revisions" / "timescale"
    made.mkdir(parents=True)
    (package / "revisions" / "__init__.py").touch()
    (made / "__init__.py").touch()
    (made / "0001_readings.py").write_text(REVISION)


def write_readings(folder: Path) -> None:
    lines = [f"{FIRST + timedelta(minutes=m):%Y-%m-%dT%H:%MZ},north,{m / 100:.2f}" for m in range(0, 2880, 10)]
    (folder / "readings.csv").write_text("\n".join(["at,station,celsius", *lines, ""]))


@pytest.fixture
def own(unmigrated: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """The catalogue is named by pyproject.toml, as a project of one's own would; the package is of this test alone."""
    (unmigrated.folder / "pyproject.toml").write_text('[tool.storekeeper]\ncatalog = "station.data:CATALOG"\n')
    write_readings(unmigrated.folder)
    monkeypatch.syspath_prepend(str(unmigrated.folder))
    yield unmigrated
    for name in [name for name in sys.modules if name.partition(".")[0] == "station"]:
        del sys.modules[name]


def test_a_domain_is_declared_migrated_filled_and_queried(own: CommandLine) -> None:
    write_package(own.folder, revisions='"station.revisions"')
    steps = own("migrate", "--json").json["steps"]
    assert {"weather_0001"} == {s["target"] for s in steps if s["action"] == "upgrade" and "weather" in s["target"]}
    assert not any("invest" in step["target"] for step in steps)
    assert "288 rows" in own("ingest", "weather.readings", "readings.csv").out
    own("jobs", "run", "retention", "--as-of", "2024-05-08")
    raw = own("query", "weather.readings", "--from", "2024-03-01", "--to", "2024-03-03", "--json").json
    assert raw == [], "older than 60 days"
    with psycopg.connect(own.settings["STOREKEEPER_POSTGRES_URL"]) as connection:
        hours = connection.execute("SELECT count(*), sum(count), max(warmest) FROM weather.readings_1h").fetchone()
    assert hours is not None
    assert (hours[0], hours[1], f"{hours[2]}") == (48, 288, "28.70")
    status = own("status", "--json").json
    assert [level["dataset"] for level in status["datasets"]] == ["weather.readings", "weather.readings_1h"]
    assert [collection["dataset"] for collection in status["collections"]] == ["weather.alarms"]
    assert (status["pending"], status["drift"]) == ([], [])
    undone = own("migrate", "rollback", "weather", "--yes").out
    assert undone == "undone: timescale: weather_0001\n"


def test_a_domain_without_revisions_is_told_so(own: CommandLine) -> None:
    write_package(own.folder, revisions="None")
    for _ in range(2):
        said = own("migrate").out
        assert (
            "timescale: weather: declares hypertables, and has no revision for timescale: nothing here makes them; "
            "write one by `storekeeper migrate new weather --store timescale -m …`"
        ) in said
    refused = own("ingest", "weather.readings", "readings.csv", "--json", code=3)
    assert refused.error["error"] == "NotMigratedError"


def test_the_installed_program_finds_a_package_in_the_current_folder(own: CommandLine) -> None:
    """`python -m` looks there by itself."""
    write_package(own.folder, revisions='"station.revisions"')
    program = shutil.which("storekeeper", path=sysconfig.get_path("scripts"))
    assert program
    environment = {**clean_environment(), **own.settings}
    done = subprocess.run([program, "jobs", "list"], cwd=own.folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "retention" in done.stdout


def test_revisions_that_are_not_there(own: CommandLine) -> None:
    write_package(own.folder, revisions='"station.revision"')
    refused = own("migrate", code=2)
    assert "declare weather: its revisions' package station.revision cannot be imported" in refused.err


def test_a_declaration_that_contradicts_itself(own: CommandLine) -> None:
    write_package(own.folder, revisions="None")
    data = own.folder / "station" / "data.py"
    data.write_text(data.read_text().replace('time="at"', 'time="when"', 1))
    refused = own("jobs", "list", code=2)
    assert "declare weather.readings: no column 'when'" in refused.err
