"""The time-series store by role: a service appends and reads bars, jobs keep the series in order as the owner."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, InvalidParameterValue

from storekeeper import Platform, connect, minutes
from storekeeper.errors import BelowWatermarkError, PermissionDeniedError
from storekeeper.jobs import run_job
from storekeeper.platform import Role

DATASET = "invest.intraday_prices"
FIRST = datetime(2014, 5, 7, 9, 30, tzinfo=UTC)

#: Everything that a chunk has: its triggers with their arguments, its bounds, its indexes and checks.
SHAPE = """
SELECT 'bound', pg_get_expr(relpartbound, oid) FROM pg_catalog.pg_class WHERE oid = %(chunk)s::regclass
UNION ALL
SELECT 'trigger', replace(pg_get_triggerdef(oid), %(name)s, 'chunk') FROM pg_catalog.pg_trigger
WHERE tgrelid = %(chunk)s::regclass
UNION ALL
SELECT 'constraint', pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint WHERE conrelid = %(chunk)s::regclass
UNION ALL
SELECT 'index', replace(pg_get_indexdef(indexrelid), %(name)s, 'chunk') FROM pg_catalog.pg_index
WHERE indrelid = %(chunk)s::regclass
ORDER BY 1, 2
"""


def opened(settings: dict[str, Any], role: Role) -> Platform:
    return connect(stores=("postgres", "timescale"), role=role, **settings)


def ticks(first: datetime, count: int = 300) -> list[dict[str, Any]]:
    return [
        {"time": first + timedelta(minutes=number), "symbol": "AAPL", "price": 100 + number % 7, "volume": 10}
        for number in range(count)
    ]


def test_a_service_appends_to_chunks_that_are_made_for_it(role_settings: dict[str, Any], migrated_url: str) -> None:
    with opened(role_settings, "app") as service:
        assert service.timescale.append(DATASET, ticks(FIRST)).inserted == 300
        again = service.timescale.append(DATASET, ticks(FIRST), on_conflict="update")
        assert (again.rows, again.inserted) == (300, 0)
        # a year has chunks of its own kind
        day = {"time": FIRST, "symbol": "AAPL", "open": 1, "high": 2, "low": 1, "close": 2, "volume": 5}
        assert service.timescale.append("invest.stock_prices", [day]).inserted == 1
        assert [chunk.name for chunk in service.timescale.chunks("invest.stock_prices")] == ["stock_prices_p20140101"]
    with opened(role_settings, "jobs") as jobs:
        jobs.timescale.append(DATASET, ticks(FIRST + timedelta(days=1)))
        owners = (
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE relname LIKE '%prices_p2014%'"
        )
    with psycopg.connect(migrated_url) as connection:
        assert connection.execute(owners).fetchall() == [("storekeeper_owner",)]
        made_for, made_by = (
            _shape(connection, f"intraday_prices_p{day:%Y%m%d}", day) for day in (FIRST, FIRST + timedelta(days=1))
        )
        assert len(made_for) > 5
        assert made_for == made_by


def _shape(connection: psycopg.Connection[Any], name: str, day: datetime) -> list[tuple[str, str]]:
    """All that a chunk of this day has, its own name and times left out."""
    lines = connection.execute(SHAPE, {"chunk": f"invest.{name}", "name": name}).fetchall()
    until = f"{day + timedelta(days=1):%Y-%m-%d}"
    return [(kind, text.replace(f"{day:%Y-%m-%d}", "DAY").replace(until, "NEXT")) for kind, text in lines]


def test_a_service_chooses_neither_the_shape_of_a_chunk_nor_its_name(app_url: str) -> None:
    with psycopg.connect(app_url, autocommit=True) as service:
        ask = "SELECT storekeeper.make_chunk(%s, %s, %s)"
        made = service.execute(ask, (DATASET, "2014-05-07", "2014-05-08")).fetchone()
        assert made == (True,)
        assert service.execute(ask, (DATASET, "2014-05-07", "2014-05-08")).fetchone() == (False,)
        for lower, upper in (("2014-05-07", "2014-05-09"), ("2014-05-08 01:00", "2014-05-09 01:00")):
            with pytest.raises(InvalidParameterValue, match="is not"):
                service.execute(ask, (DATASET, lower, upper))
        with pytest.raises(InvalidParameterValue, match="is not"):
            service.execute(ask, ("invest.stock_prices", "2014-02-01", "2015-02-01"))
        with pytest.raises(psycopg.Error, match="not known"):
            service.execute(ask, ("invest.users", "2014-05-07", "2014-05-08"))
        # written without its era the first would be another day, and no client could read the others' bounds
        for lower, upper in (
            ("0044-03-15 BC", "0044-03-16 BC"),
            ("9999-12-31", "10000-01-01"),
            ("10000-01-01", "10000-01-02"),
            ("infinity", "infinity"),
            ("-infinity", "-infinity"),
        ):
            with pytest.raises(InvalidParameterValue, match="years 1 to 9999"):
                service.execute(ask, (DATASET, lower, upper))
        assert service.execute(ask, (DATASET, "0001-01-01", "0001-01-02")).fetchone() == (True,)
        assert service.execute(ask, (DATASET, "9999-12-30", "9999-12-31")).fetchone() == (True,)
        with pytest.raises(InsufficientPrivilege):
            service.execute("CREATE TABLE invest.mine (id int)")


def test_services_read_bars_through_views_and_see_what_jobs_see(role_settings: dict[str, Any]) -> None:
    bars: dict[str, list[Any]] = {}
    with opened(role_settings, "app") as service:
        service.timescale.append(DATASET, ticks(FIRST))
    with opened(role_settings, "jobs") as jobs:
        jobs.timescale.refresh(DATASET, as_of=FIRST + timedelta(hours=3))
    for role in ("app", "analyst", "jobs"):
        with opened(role_settings, role) as platform:
            bars[role] = platform.timescale.bars(DATASET, ["AAPL"], every=minutes(5)).to_pylist()
            rows = platform.timescale.raw("invest.stock_prices_5min").num_rows
            assert 30 < rows < 60
    assert len(bars["app"]) == 60
    assert bars["app"] == bars["jobs"] == bars["analyst"]
    with psycopg.connect(role_settings["postgres_url"], autocommit=True) as connection:
        with pytest.raises(InsufficientPrivilege):
            connection.execute("SELECT * FROM invest.stock_prices_5min")
        with pytest.raises(InsufficientPrivilege):
            connection.execute("UPDATE invest.shown_stock_prices_5min SET close = 1")


def test_jobs_do_all_of_their_work_without_owning_anything(role_settings: dict[str, Any]) -> None:
    with opened(role_settings, "jobs") as jobs:
        jobs.timescale.append(DATASET, ticks(FIRST))
        later = FIRST + timedelta(days=60)
        for name in ("partitions", "rollups", "views", "cleanup", "compression", "retention"):
            assert run_job(jobs, name, as_of=later).state == "done"
        assert jobs.timescale.watermark(DATASET) == datetime(2014, 5, 8, tzinfo=UTC)
        assert [
            chunk for chunk in jobs.timescale.chunks(DATASET) if chunk.range.upper <= later - timedelta(days=31)
        ] == []
    with opened(role_settings, "app") as service:
        with pytest.raises(BelowWatermarkError):
            service.timescale.append(DATASET, ticks(FIRST))
        with pytest.raises(PermissionDeniedError):
            run_job(service, "rollups")


def test_a_chunk_below_the_watermark_is_not_made(role_settings: dict[str, Any], migrated_url: str) -> None:
    with psycopg.connect(migrated_url, autocommit=True) as administrator:
        administrator.execute(
            "UPDATE storekeeper.watermarks SET dropped_before = '2014-06-01 00:00+00' WHERE dataset = %s", (DATASET,)
        )
    with psycopg.connect(role_settings["postgres_url"], autocommit=True) as service:
        with pytest.raises(psycopg.Error, match="are gone") as refused:
            service.execute("SELECT storekeeper.make_chunk(%s, '2014-05-07', '2014-05-08')", (DATASET,))
        assert refused.value.sqlstate == "SK001"
