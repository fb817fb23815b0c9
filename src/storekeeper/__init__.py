"""One data platform over PostgreSQL, TimescaleDB, MongoDB and Redis.

    with storekeeper.connect() as platform:                 sync; `async with connect_async()` for the other
        platform.timescale.append("invest.intraday_prices", frame)
        platform.timescale.bars("invest.intraday_prices", ["BTC-USD@bitstamp"], every=minutes(5), start=…, end=…)
        with platform.postgres.session() as session: …      SQLAlchemy ORM, one transaction
        platform.redis.hit(LIMIT, user_id=…, endpoint=…)    one script, the server's time
        platform.mongo.insert("invest.logs", documents)

Importing the package opens nothing and reads no environment; every name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storekeeper.analytics.plots import plot as plot
    from storekeeper.analytics.rolling import (
        drawdown as drawdown,
        returns as returns,
        rolling as rolling,
        volatility as volatility,
    )
    from storekeeper.catalog import (
        LOG_LEVELS as LOG_LEVELS,
        NAMING_CONVENTION as NAMING_CONVENTION,
        Aggregate as Aggregate,
        BackupPolicy as BackupPolicy,
        Catalog as Catalog,
        Collection as Collection,
        DocumentIndex as DocumentIndex,
        Domain as Domain,
        DomainJob as DomainJob,
        Effect as Effect,
        Flag as Flag,
        Hypertable as Hypertable,
        JsonModel as JsonModel,
        Keyspace as Keyspace,
        MaterializedView as MaterializedView,
        Measure as Measure,
        Monthly as Monthly,
        Protection as Protection,
        RateLimit as RateLimit,
        Rollup as Rollup,
        TableLifecycle as TableLifecycle,
        TypedJson as TypedJson,
        Yearly as Yearly,
        ohlcv as ohlcv,
    )
    from storekeeper.clock import Clock as Clock, FixedClock as FixedClock, SystemClock as SystemClock
    from storekeeper.errors import (
        ConflictError as ConflictError,
        DamagedArchiveError as DamagedArchiveError,
        InputError as InputError,
        NotFoundError as NotFoundError,
        OperationError as OperationError,
        RefusedError as RefusedError,
        StorekeeperError as StorekeeperError,
    )
    from storekeeper.jobs.job import Action as Action
    from storekeeper.platform import (
        AsyncPlatform as AsyncPlatform,
        Platform as Platform,
        connect as connect,
        connect_async as connect_async,
    )
    from storekeeper.platform.feed import Feed as Feed
    from storekeeper.platform.feed_async import AsyncFeed as AsyncFeed
    from storekeeper.relay import Delivery as Delivery
    from storekeeper.sealing import (
        AsyncKeyRing as AsyncKeyRing,
        KeyRing as KeyRing,
        MasterKeys as MasterKeys,
        digest as digest,
        hash_password as hash_password,
        new_token as new_token,
        password_matches as password_matches,
    )
    from storekeeper.settings import Settings as Settings
    from storekeeper.span import (
        Span as Span,
        days as days,
        hours as hours,
        microseconds as microseconds,
        minutes as minutes,
        months as months,
        seconds as seconds,
        weeks as weeks,
        years as years,
    )
    from storekeeper.stores.postgres.audit import audit as audit
    from storekeeper.stores.postgres.audit_async import audit_async as audit_async
    from storekeeper.stores.postgres.keyset import Page as Page
    from storekeeper.stores.postgres.outbox import record as record
    from storekeeper.stores.postgres.outbox_async import record_async as record_async
    from storekeeper.stores.postgres.paging import page as page
    from storekeeper.stores.postgres.paging_async import page_async as page_async

__version__ = "0.1.0"

#: Where each public name lives.
_HOMES = {
    "NAMING_CONVENTION": "catalog",
    "Action": "jobs.job",
    "Aggregate": "catalog",
    "AsyncFeed": "platform.feed_async",
    "AsyncKeyRing": "sealing",
    "AsyncPlatform": "platform",
    "BackupPolicy": "catalog",
    "Catalog": "catalog",
    "Clock": "clock",
    "ConflictError": "errors",
    "Collection": "catalog",
    "DamagedArchiveError": "errors",
    "Delivery": "relay",
    "DocumentIndex": "catalog",
    "Domain": "catalog",
    "DomainJob": "catalog",
    "Effect": "catalog",
    "Feed": "platform.feed",
    "FixedClock": "clock",
    "Flag": "catalog",
    "Hypertable": "catalog",
    "JsonModel": "catalog",
    "InputError": "errors",
    "KeyRing": "sealing",
    "Keyspace": "catalog",
    "LOG_LEVELS": "catalog",
    "MasterKeys": "sealing",
    "MaterializedView": "catalog",
    "Measure": "catalog",
    "Monthly": "catalog",
    "Protection": "catalog",
    "NotFoundError": "errors",
    "OperationError": "errors",
    "Page": "stores.postgres.keyset",
    "Platform": "platform",
    "RateLimit": "catalog",
    "Rollup": "catalog",
    "RefusedError": "errors",
    "Settings": "settings",
    "Span": "span",
    "StorekeeperError": "errors",
    "SystemClock": "clock",
    "TableLifecycle": "catalog",
    "TypedJson": "catalog",
    "Yearly": "catalog",
    "audit": "stores.postgres.audit",
    "audit_async": "stores.postgres.audit_async",
    "connect": "platform",
    "connect_async": "platform",
    "days": "span",
    "digest": "sealing",
    "drawdown": "analytics.rolling",
    "hash_password": "sealing",
    "hours": "span",
    "microseconds": "span",
    "minutes": "span",
    "months": "span",
    "new_token": "sealing",
    "ohlcv": "catalog",
    "password_matches": "sealing",
    "page": "stores.postgres.paging",
    "page_async": "stores.postgres.paging_async",
    "plot": "analytics.plots",
    "record": "stores.postgres.outbox",
    "record_async": "stores.postgres.outbox_async",
    "returns": "analytics.rolling",
    "rolling": "analytics.rolling",
    "seconds": "span",
    "volatility": "analytics.rolling",
    "weeks": "span",
    "years": "span",
}

__all__ = ["__version__", *_HOMES]  # all of them are strings


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
