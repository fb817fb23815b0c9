"""invest as declared: retention, keys, documents and backups to the letter of the data contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from storekeeper import BackupPolicy, Monthly, Span, TableLifecycle, Yearly, days, hours, minutes, weeks, years
from storekeeper.domains import CATALOG
from storekeeper.domains.invest import DOMAIN
from storekeeper.domains.invest.documents import LOGS, AnalyticsEvent, MlResult, SystemLog
from storekeeper.domains.invest.entities import Base
from storekeeper.jobs import Every, jobs_of
from storekeeper.stores.mongo.documents import to_documents

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


def test_the_life_of_each_table() -> None:
    users, sessions, transactions, insights, activity = DOMAIN.lifecycles
    assert users == TableLifecycle(Base.metadata.tables["invest.users"], deleted="deleted_at")
    assert sessions == TableLifecycle(Base.metadata.tables["invest.sessions"], expires="expires_at")
    assert transactions == TableLifecycle(
        Base.metadata.tables["invest.transactions"],
        partition=Yearly("transaction_date", ahead=1),
        keep_at_least=years(7),
    )
    assert insights == TableLifecycle(
        Base.metadata.tables["invest.ai_insights"], since="created_at", drop_after=days(30), expires="expires_at"
    )
    assert activity == TableLifecycle(
        Base.metadata.tables["invest.user_activity_log"],
        partition=Monthly("created_at", ahead=3),
        drop_after=days(90),
    )


def test_what_portfolios_are_worth_is_refreshed_every_quarter_of_an_hour() -> None:
    (view,) = DOMAIN.views
    assert (view.name, view.every) == ("invest.portfolio_summary", minutes(15))
    (job,) = [job for job in jobs_of(CATALOG) if job.name == "views"]
    assert job.schedule == Every(minutes(15))


def test_events_and_results_are_kept_as_the_contract_says() -> None:
    assert {c.name: (c.time, c.drop_after, [index.name for index in c.indexes]) for c in DOMAIN.collections} == {
        "logs": (
            "timestamp",
            days(30),
            ["timestamp_-1", "service_1_timestamp_-1", "level_1_timestamp_-1", "userId_1_timestamp_-1"],
        ),
        "analytics": ("timestamp", days(90), ["eventType_1_timestamp_-1", "userId_1_timestamp_-1"]),
        "ml_results": ("timestamp", days(180), ["symbol_1_timestamp_-1", "modelName_1_modelVersion_1"]),
    }


EVENT = {
    "eventType": "page_view",
    "userId": str(UUID(int=1)),
    "sessionId": str(UUID(int=2)),
    "timestamp": "2025-10-14T08:00:00Z",
    "properties": {"page": "/portfolio", "action": "open", "symbol": "AAPL", "elapsedMs": 12, "filter": {"sector": 3}},
    "context": {"userAgent": "x", "ip": "2001:db8::1", "referrer": "/", "deviceType": "mobile", "screen": "1x1"},
}
RESULT = {
    "modelName": "lstm",
    "modelVersion": "1.2",
    "symbol": "AAPL",
    "timestamp": "2025-10-14T08:00:00Z",
    "prediction": {
        "targetPrice": Decimal("251.125"),
        "confidence": 0.83,
        "horizon": "7d",
        "range": {"low": Decimal("240.5"), "high": Decimal("260.0"), "mid": Decimal(250)},
        "method": "beam",
    },
    "features": {"rsi": 61.5, "window": [1, 2]},
    "accuracy": 0.91,
}


@pytest.mark.parametrize(("model", "given"), [(AnalyticsEvent, EVENT), (MlResult, RESULT)])
def test_a_document_is_stored_as_it_came_with_what_nobody_declared(
    model: type[BaseModel], given: dict[str, Any]
) -> None:
    (stored,) = to_documents([given], model, target="invest.x")
    plain = {name: str(value) if isinstance(value, UUID) else value for name, value in stored.items()}
    assert plain == {**given, "timestamp": datetime(2025, 10, 14, 8, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("model", "smallest"),
    [
        (AnalyticsEvent, {"eventType": "x", "timestamp": "2025-10-14T08:00:00Z"}),
        (
            MlResult,
            {
                **{name: RESULT[name] for name in ("modelName", "modelVersion", "symbol", "timestamp")},
                "prediction": {"targetPrice": "251.1", "confidence": 1},
            },
        ),
    ],
)
def test_what_need_not_be_known(model: type[BaseModel], smallest: dict[str, Any]) -> None:
    model.model_validate(smallest)
    for name in smallest:
        with pytest.raises(ValidationError):
            model.model_validate({key: value for key, value in smallest.items() if key != name})


@pytest.mark.parametrize(
    ("model", "given", "wrong"),
    [
        (AnalyticsEvent, EVENT, {"eventType": ""}),
        (AnalyticsEvent, EVENT, {"userId": "ada"}),
        (AnalyticsEvent, EVENT, {"timestamp": "2025-10-14T08:00:00"}),
        (AnalyticsEvent, EVENT, {"properties": {"page": 7}}),
        (AnalyticsEvent, EVENT, {"context": "mobile"}),
        (AnalyticsEvent, EVENT, {"more": 1}),
        (MlResult, RESULT, {"symbol": "x" * 33}),
        (MlResult, RESULT, {"prediction": {"targetPrice": "high", "confidence": 1}}),
        (MlResult, RESULT, {"prediction": {"targetPrice": "NaN", "confidence": 1}}),
        (MlResult, RESULT, {"prediction": {"targetPrice": 1, "confidence": 1, "range": {"low": 1}}}),
        (MlResult, RESULT, {"features": [1]}),
        (MlResult, RESULT, {"accuracy": float("nan")}),
        (MlResult, RESULT, {"more": 1}),
    ],
)
def test_what_is_no_such_document_is_refused(
    model: type[BaseModel], given: dict[str, Any], wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        model.model_validate({**given, **wrong})


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
