"""The plans that matter, and how many statements a listing takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from defi_domain import AT, defi_platform
from storekeeper import Platform, page
from storekeeper.domains.defi import event_sql
from storekeeper.domains.defi.entities import Alert
from storekeeper.domains.defi.events import Stream
from storekeeper.domains.defi.queries import (
    NEWEST_ALERTS,
    NEWEST_SIGNALS,
    active_signals,
    alerts_of,
    latest_position,
    latest_position_of_each,
    latest_positions,
    user_with_positions,
)

USER = UUID(int=7)

#: 50 users with 40 snapshots and 40 alerts each, 2000 signals of 100 assets, 200 streams of 40 events.
FILLING = """
INSERT INTO defi.users (id, wallet_address)
SELECT lpad(to_hex(n), 32, '0')::uuid, '0x' || lpad(to_hex(n), 40, '0') FROM generate_series(1, 50) n;
INSERT INTO defi.positions (user_id, wallet_address, protocol, snapshot_at)
SELECT id, wallet_address, 'aave', timestamptz '2025-01-01Z' + n * interval '1 hour'
FROM defi.users, generate_series(1, 40) n;
INSERT INTO defi.signals (type, asset, severity, status, detected_at)
SELECT 'x', 'A' || n % 100, 'low', (ARRAY['active', 'expired', 'expired', 'acknowledged'])[1 + n / 100 % 4],
    timestamptz '2025-01-01Z' + n * interval '1 minute' FROM generate_series(1, 2000) n;
INSERT INTO defi.alerts (user_id, signal_id, type, channel, message, status, created_at)
SELECT u.id, (SELECT id FROM defi.signals LIMIT 1), 'x', 'email', '', (ARRAY['pending', 'sent'])[1 + n % 2],
    timestamptz '2025-01-01Z' + n * interval '1 minute'
FROM defi.users u, generate_series(1, 40) n;
INSERT INTO defi.event_store (aggregate_type, aggregate_id, version, event_type, payload)
SELECT 'loan', lpad(to_hex(s), 32, '0')::uuid, v, 'lent', '{}'
FROM generate_series(1, 40) v, generate_series(1, 200) s;
"""


@pytest.fixture(scope="module")
def filled_url(shared_url: str) -> str:
    with psycopg.connect(shared_url, autocommit=True) as connection:
        connection.execute(FILLING)
        for table in ("users", "positions", "signals", "alerts", "event_store"):
            connection.execute(f"ANALYZE defi.{table}".encode())
    return shared_url


@pytest.fixture
def platform(filled_url: str) -> Iterator[Platform]:
    with defi_platform(filled_url) as platform:
        yield platform


def plan(platform: Platform, statement: sa.Select[Any]) -> str:
    """How the server runs a statement, and how many rows each step gave."""
    compiled = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    with platform.postgres.begin() as connection:
        explained = f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF, SUMMARY OFF) {compiled}"
        return "\n".join(connection.exec_driver_sql(explained.replace("%", "%%")).scalars())


def test_the_latest_position_is_looked_up(platform: Platform) -> None:
    found = plan(platform, latest_position(USER))
    assert "ix_positions_user_snapshot" in found
    assert "Seq Scan" not in found
    read = [line for line in found.splitlines() if "Index Scan" in line]
    assert "actual rows=2" in read[0], "the newest, and one to see that there is no tie"
    each = plan(platform, latest_position_of_each([USER, UUID(int=8)]))
    assert "ix_positions_user_snapshot" in each
    assert "Seq Scan" not in each


def test_pending_alerts_come_out_of_the_index_in_order(platform: Platform) -> None:
    found = plan(platform, alerts_of(USER).order_by(*NEWEST_ALERTS).limit(5))
    assert "ix_alerts_user_status_created" in found
    assert "Seq Scan on alerts" not in found
    (read,) = [line for line in found.splitlines() if "ix_alerts_user_status_created" in line]
    assert "actual rows=6" in read, "not all twenty"


def test_a_stream_is_read_by_its_key(platform: Platform) -> None:
    found = plan(platform, event_sql.stream_after(Stream("loan", USER), 30, None, 5))
    (read,) = [line for line in found.splitlines() if "uq_event_store_aggregate_version" in line]
    assert "actual rows=5" in read
    assert "Sort" not in found.partition("uq_event_store_aggregate_version")[2]


def test_events_come_in_order_out_of_the_primary_key(platform: Platform) -> None:
    found = plan(platform, event_sql.events_after(100, 7_000, 5))
    (read,) = [line for line in found.splitlines() if "event_store_pkey" in line]
    assert "actual rows=5" in read


def test_active_signals_of_an_asset_are_looked_up(platform: Platform) -> None:
    found = plan(platform, active_signals(AT, asset="A7"))
    assert "ix_signals_asset_status" in found
    assert "Seq Scan" not in found


@pytest.mark.parametrize(
    ("listing", "statements"),
    [
        (lambda s: [alert.signal for alert in page(s, alerts_of(USER), by=NEWEST_ALERTS, limit=20).items], 1),
        (lambda s: page(s, active_signals(AT), by=NEWEST_SIGNALS, limit=100).items, 1),
        (lambda s: s.scalars(user_with_positions(USER)).one().positions, 2),
        (lambda s: s.scalars(latest_positions(USER)).all(), 1),
        (lambda s: s.scalars(latest_position_of_each([UUID(int=n) for n in range(50)])).all(), 1),
    ],
)
def test_a_listing_takes_no_statement_a_row(platform: Platform, listing: Any, statements: int) -> None:
    sent: list[str] = []
    engine = platform.postgres.pool.engine
    with platform.postgres.session() as session:
        sa.event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
        assert len(listing(session)) >= 1
    assert len(sent) == statements, sent


def test_a_parent_that_was_not_asked_for_is_not_fetched(platform: Platform) -> None:
    with platform.postgres.session() as session:
        alert = session.scalars(sa.select(Alert).limit(1)).one()
        with pytest.raises(sa.exc.InvalidRequestError, match="lazy='raise'"):
            assert alert.signal
