"""What a service sees: the latest price in the quote cache, a session, a rate limit at work, logs."""

from __future__ import annotations

import secrets
from collections import Counter
from datetime import timedelta
from hashlib import sha256
from uuid import uuid4

from storekeeper.cli.demo.analyst import DATASET
from storekeeper.cli.output import console, table, text
from storekeeper.platform import Platform

#: Its newest price is younger than 30 days on the demo's last night.
SYMBOL = "WETH-USDC@univ2-base"
TRIES = 105


def show(platform: Platform) -> None:
    """Reads and writes what a request would, and prints what came of it."""
    _quote(platform)
    user = _session(platform)
    _limit(platform, str(user))
    _logs(platform)


def _quote(platform: Platform) -> None:
    (row,) = platform.timescale.latest(DATASET, [SYMBOL], exact=True).to_pylist()
    quote = {"price": row["price"], "volume": row["volume"], "updated_at": row["time"]}
    platform.redis.put("stock", quote, symbol=SYMBOL)
    cached = platform.redis.get("stock", symbol=SYMBOL)
    assert cached is not None, "a quote lives for a minute"
    shown = ", ".join(f"{name} {text(value)}" for name, value in cached if value is not None)
    console().print(f"quote    {platform.redis.key('stock', symbol=SYMBOL)}: {shown}")


def _session(platform: Platform) -> object:
    user, session, token = uuid4(), secrets.token_urlsafe(16), secrets.token_urlsafe(32)
    digest = sha256(token.encode()).hexdigest()
    now = platform.clock.now()
    platform.redis.put(
        "session",
        {"user_id": user, "refresh_token": digest, "device_info": {"browser": "demo"}, "created_at": now},
        session_id=session,
    )
    found = platform.redis.get("session", session_id=session)
    assert found is not None, "a session lives for 30 days"
    console().print(f"session  session:{session[:6]}…: of user {user}; the token is kept as a digest")
    return user


def _limit(platform: Platform, user: str) -> None:
    limit = next(limit for domain in platform.catalog.domains for limit in domain.rate_limits)
    answers = platform.redis.hit_many([(limit, {"user_id": user, "endpoint": "quotes"})] * TRIES)
    counts = Counter(answer.allowed for answer in answers)
    wait = answers[-1].retry_after or timedelta(0)
    console().print(
        f"limit    {TRIES} calls at once, {limit.limit} a minute: {counts[True]} allowed, {counts[False]} refused;"
        f" try again in {wait.total_seconds():.0f} s"
    )


def _logs(platform: Platform) -> None:
    now = platform.clock.now()
    range_ = {"start": now - timedelta(hours=24), "end": now}
    rows = [
        (level, f"{platform.mongo.count('invest.logs', where={'level': level}, **range_):,}")
        for level in ("info", "warn", "error")
    ]
    table("", ("log level, the last 24 hours", "lines"), rows, right=("lines",))
