"""The sample goes in: prices, an index and daily bars by COPY, log lines as documents."""

from __future__ import annotations

import time
from datetime import UTC, timedelta

from storekeeper import sample
from storekeeper.cli.output import console, table
from storekeeper.ingest.logs.calendar import Calendar
from storekeeper.ingest.logs.kafka import KAFKA
from storekeeper.ingest.logs.line import Line
from storekeeper.ingest.logs.messages import Message, read_log
from storekeeper.ingest.options import Options
from storekeeper.ingest.rows.ingest_rows import ingest_rows
from storekeeper.platform import Platform

PRICES = ("quotes_minute", "quotes_events", "daily_bars", "index_values")
LOGS = ("kafka_server", "kafka_state_change")


def load(platform: Platform) -> None:
    """Ingests every sample, and prints rows and rows a second."""
    rows = []
    for name in PRICES:
        given = sample.sample(name)
        done = ingest_rows(platform, given.dataset, [sample.path(name)], Options(strict=True))
        rows.append((given.dataset, given.origin, f"{done.rows:,}", f"{done.rows_per_second:,.0f}"))
    for name in LOGS:
        given = sample.sample(name)
        count, seconds = _load_log(platform, given)
        rows.append((given.dataset, given.origin, f"{count:,}", f"{count / seconds:,.0f}"))
    table("", ("dataset", "origin", "rows", "rows/s"), rows, right=("rows", "rows/s"))
    console().print("The log lines were moved forward to today: logs live for 30 days by the server's own clock.")


def _load_log(platform: Platform, given: sample.Sample) -> tuple[int, float]:
    """Log lines as documents, moved forward as a whole so that the last one is of this minute.

    MongoDB's TTL index goes by the server's clock and would take lines of 2016 away within a minute.
    """
    began = time.monotonic()
    moved = platform.clock.now() - given.last - timedelta(minutes=1)
    with sample.open_sample(given.name) as text:
        lines = [Line(place, line.rstrip("\r\n"), b"") for place, line in enumerate(text, start=1)]
    service = given.name.replace("_", "-")
    documents = [
        {**message.document, "service": service, "timestamp": message.document["timestamp"] + moved}
        for message in read_log([lines], KAFKA, Calendar(UTC, None))
        if isinstance(message, Message)
    ]
    return platform.mongo.insert(given.dataset, documents), time.monotonic() - began
