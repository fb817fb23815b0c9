"""Series of TimescaleDB by role: a service appends and reads bars, jobs keep the series in order as the owner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, InvalidParameterValue

from series_servers import SeriesServer
from storekeeper import Catalog, Platform, connect, minutes
from storekeeper.domains import CATALOG
from storekeeper.errors import BelowWatermarkError, PermissionDeniedError
from storekeeper.jobs import run_job
from storekeeper.migrations import apply, drift
from storekeeper.platform import Role

pytestmark = [pytest.mark.timescale, pytest.mark.one_backend]

DATASET = "invest.intraday_prices"
FIRST = datetime(2014, 5, 7, 9, 30, tzinfo=UTC)
INVEST = Catalog((CATALOG.domain("invest"),), backups=CATALOG.backups)

_CHUNKS = """
SELECT chunk_schema || '.' || chunk_name, range_start, range_end FROM timescaledb_information.chunks
WHERE hypertable_schema = 'invest' AND hypertable_name = 'intraday_prices' ORDER BY 2
"""


@dataclass(frozen=True)
class Installation:
    """Where each role logs in, and an administrator's way into the series' store."""

    settings: dict[str, Any]
    urls: dict[Role, str]
    administrator: str

    def opened(self, role: Role, *stores: Any) -> Platform:
        return connect(stores=stores or ("postgres", "timescale"), role=role, catalog=INVEST, **self.settings)


@pytest.fixture
def installation(
    series_server: SeriesServer, role_settings: dict[str, Any], mongo_url: str, mongo_prefix: str
) -> Iterator[Installation]:
    """Relational tables on the embedded server, series on a TimescaleDB one, both the owner's."""
    with series_server.database("SELECT 1") as url:
        urls = series_server.role_urls(url)
        own = {"timescale_url" if role == "app" else f"timescale_{role}_url": one for role, one in urls.items()}
        settings = {**role_settings, **own, "mongo_url": mongo_url, "mongo_database": mongo_prefix}
        installation = Installation(settings, dict(urls), url)
        with installation.opened("owner", "postgres", "mongo") as owner:
            apply(owner)
            assert drift(owner) == ()
        yield installation


def ticks(first: datetime, count: int = 300) -> list[dict[str, Any]]:
    return [
        {"time": first + timedelta(minutes=number), "symbol": "AAPL", "price": 100 + number % 7, "volume": 10}
        for number in range(count)
    ]


def test_a_service_writes_jobs_keep_order_and_all_read_the_same(installation: Installation) -> None:
    bars: dict[str, list[Any]] = {}
    with installation.opened("app") as service:
        assert service.timescale.append(DATASET, ticks(FIRST)).inserted == 300
        again = service.timescale.append(DATASET, ticks(FIRST), on_conflict="update")
        assert (again.rows, again.inserted) == (300, 0)
    with installation.opened("jobs") as jobs:
        jobs.timescale.refresh(DATASET, as_of=FIRST + timedelta(hours=3))
    for role in ("app", "analyst", "jobs"):
        with installation.opened(role) as platform:
            bars[role] = platform.timescale.bars(DATASET, ["AAPL"], every=minutes(5)).to_pylist()
            assert 30 < platform.timescale.raw("invest.stock_prices_5min").num_rows < 60
    assert len(bars["app"]) == 60
    assert bars["app"] == bars["jobs"] == bars["analyst"]

    later = FIRST + timedelta(days=60)
    with installation.opened("jobs") as jobs:
        for name in ("rollups", "compression", "retention"):
            assert run_job(jobs, name, as_of=later).state == "done"
        assert jobs.timescale.watermark(DATASET) == datetime(2014, 5, 8, tzinfo=UTC)
        assert jobs.timescale.chunks(DATASET) == []
    with installation.opened("app") as service:
        with pytest.raises(BelowWatermarkError):
            service.timescale.append(DATASET, ticks(FIRST))
        with pytest.raises(PermissionDeniedError):
            run_job(service, "rollups")


def test_a_service_makes_due_chunks_and_owns_none(installation: Installation) -> None:
    ask = "SELECT storekeeper.make_hypertable_chunk(%s, %s, %s)"
    with psycopg.connect(installation.urls["app"], autocommit=True) as service:
        service.execute(ask, (DATASET, "2014-05-07Z", "2014-05-08Z"))
        service.execute(ask, (DATASET, "2014-05-07Z", "2014-05-08Z"))
        for lower, upper in (("2014-05-07", "2014-05-09"), ("2014-05-08 01:00", "2014-05-09 01:00")):
            with pytest.raises(InvalidParameterValue, match="is not"):
                service.execute(ask, (DATASET, f"{lower}Z", f"{upper}Z"))
        with pytest.raises(psycopg.Error, match="not known"):
            service.execute(ask, ("invest.users", "2014-05-07Z", "2014-05-08Z"))
        for forbidden in (
            "CREATE TABLE invest.mine (id int)",
            "DROP TABLE invest.intraday_prices",
            "SELECT drop_chunks('invest.intraday_prices', older_than => INTERVAL '1 day')",
            "SELECT * FROM invest.stock_prices_5min",
            "UPDATE invest.shown_stock_prices_5min SET close = 1",
        ):
            with pytest.raises(InsufficientPrivilege):
                service.execute(forbidden.encode())
    with psycopg.connect(installation.administrator, autocommit=True) as administrator:
        ((chunk, lower, upper),) = administrator.execute(_CHUNKS).fetchall()
        assert (lower, upper) == (datetime(2014, 5, 7, tzinfo=UTC), datetime(2014, 5, 8, tzinfo=UTC))
        owners = administrator.execute(
            "SELECT (SELECT relowner FROM pg_class WHERE oid = %s::regclass) = relowner FROM pg_class "
            "WHERE oid = 'invest.intraday_prices'::regclass",
            (chunk,),
        )
        assert owners.fetchone() == (True,)
        administrator.execute(
            "UPDATE storekeeper.watermarks SET dropped_before = '2014-06-01Z' WHERE dataset = %s", (DATASET,)
        )
    with psycopg.connect(installation.urls["app"], autocommit=True) as service:
        with pytest.raises(psycopg.Error, match="are gone") as refused:
            service.execute(ask, (DATASET, "2014-05-09Z", "2014-05-10Z"))
        assert refused.value.sqlstate == "SK001"
