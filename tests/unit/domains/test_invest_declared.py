"""invest as declared: retention, keys, documents and backups to the letter of the data contract."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from storekeeper import BackupPolicy, Span, days, hours, minutes, weeks, years
from storekeeper.domains import CATALOG
from storekeeper.domains.invest import DOMAIN
from storekeeper.domains.invest.documents import LOGS, SystemLog

LINE = {"timestamp": "2014-05-07T13:31:00Z", "service": "market", "message": "feed is back"}


@pytest.mark.parametrize(
    ("name", "key", "chunk", "segment", "compress", "drop"),
    [
        ("stock_prices", ("symbol", "time"), years(1), "symbol", years(1), None),
        ("intraday_prices", ("symbol", "time"), days(1), "symbol", days(7), days(30)),
        ("portfolio_snapshots", ("portfolio_id", "time"), days(30), "portfolio_id", years(1), None),
        ("market_indices", ("index_symbol", "time"), days(30), "index_symbol", days(90), None),
    ],
)
def test_the_life_of_each_series(
    name: str, key: tuple[str, ...], chunk: Span, segment: str, compress: Span, drop: Span | None
) -> None:
    declared = CATALOG.hypertable(f"invest.{name}")
    assert (declared.natural_key, declared.chunk, declared.segment_by) == (key, chunk, (segment,))
    assert declared.order_by == ("time DESC",)
    assert (declared.compress_after, declared.drop_after, declared.late_rows) == (compress, drop, "refuse")


def test_intraday_prices_are_kept_as_bars() -> None:
    fine, coarse = CATALOG.hypertable("invest.intraday_prices").rollups
    assert (fine.name, fine.every, fine.keep) == ("stock_prices_5min", minutes(5), years(1))
    assert (coarse.name, coarse.every, coarse.keep) == ("stock_prices_1h", hours(1), None)
    assert fine.columns == coarse.columns
    assert fine.columns == (
        *("bucket", "symbol", "open", "high", "low", "close", "volume"),
        *("notional", "count"),
    )


@pytest.mark.parametrize(
    ("pattern", "kind", "ttl", "fields"),
    [
        ("session:{session_id}", "hash", days(30), {"user_id", "refresh_token", "device_info", "created_at"}),
        ("stock:{symbol}:quote", "hash", minutes(1), {"price", "change", "change_percent", "volume", "updated_at"}),
        ("portfolio:{user_id}", "hash", minutes(5), {"total_value", "total_gain", "assets"}),
        ("ratelimit:{user_id}:{endpoint}", "string", minutes(1), None),
        ("subscriptions:{symbol}", "set", None, None),
        ("ai:analysis:{symbol}", "hash", hours(1), {"recommendation", "confidence", "analysis", "analyzed_at"}),
    ],
)
def test_each_keyspace(pattern: str, kind: str, ttl: Span | None, fields: set[str] | None) -> None:
    declared = CATALOG.keyspace(pattern)
    assert (declared.kind, declared.ttl) == (kind, ttl)
    assert (set(declared.model.model_fields) if declared.model else None) == fields


def test_no_other_keys_than_the_contracts() -> None:
    assert len(CATALOG.keyspaces) == 6


def test_a_rate_limit_counts_by_the_window_in_which_its_counter_lives() -> None:
    assert all(limit.window == limit.keyspace.ttl for limit in DOMAIN.rate_limits)


def test_backups_as_the_contract_has_them() -> None:
    assert set(CATALOG.backup_policies) == {
        BackupPolicy("postgres", full=days(1), at=hours(2), incremental=hours(6), continuous=True, keep=days(30)),
        BackupPolicy("timescale", full=weeks(1), continuous=True, keep=days(90)),
        BackupPolicy("redis", full=hours(1), keep=days(7)),
        BackupPolicy("mongo", full=days(1), continuous=True, keep=days(30)),
    }


def test_expired_sessions_are_cleaned_up() -> None:
    assert [(life.name, life.expires) for life in CATALOG.lifecycles] == [("invest.sessions", "expires_at")]


def test_log_lines_are_stored_under_the_contracts_names() -> None:
    line = SystemLog.model_validate({**LINE, "userId": str(UUID(int=1)), "stackTrace": "at main"})
    assert set(line.model_dump(by_alias=True)) == {
        *("timestamp", "level", "service", "message", "metadata"),
        *("userId", "requestId", "stackTrace"),
    }
    assert line.user_id == UUID(int=1)
    assert LOGS.drop_after is not None
    assert LOGS.drop_after.duration == timedelta(days=30)
    assert [index.name for index in LOGS.indexes] == [
        *("timestamp_-1", "service_1_timestamp_-1"),
        *("level_1_timestamp_-1", "userId_1_timestamp_-1"),
    ]


@pytest.mark.parametrize(
    ("given", "kept", "metadata"),
    [
        ({"level": "fatal"}, "error", {"level": "fatal"}),
        ({"level": "DEBUG", "metadata": {"thread": 7}}, "info", {"level": "DEBUG", "thread": 7}),
        ({"level": "WARNING"}, "warn", {"level": "WARNING"}),
        ({"level": "WARN"}, "warn", {}),
        ({"level": "error"}, "error", {}),
        ({"level": None}, "info", {}),
        ({}, "info", {}),
    ],
)
def test_other_levels_become_one_of_three(given: dict[str, Any], kept: str, metadata: dict[str, Any]) -> None:
    line = SystemLog.model_validate({**LINE, **given})
    assert (line.level, line.metadata) == (kept, metadata)


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": "loud"},
        {"level": 3},
        {"service": ""},
        {"timestamp": "2014-05-07T13:31:00"},
        {"userId": "7"},
        {"more": 1},
    ],
)
def test_what_is_no_log_line_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SystemLog.model_validate({**LINE, **wrong})
