"""Log lines as documents."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from storekeeper.domains.invest.documents import SystemLog
from storekeeper.ingest.logs import LogLineError, parse_log
from storekeeper.sample import open_sample

BERLIN = ZoneInfo("Europe/Berlin")
LINES = """\
[2016-12-19 16:31:46,143] INFO KafkaConfig values:
\tadvertised.host.name = null

\tport = 9092
 (kafka.server.KafkaConfig)
[2016-12-19 16:31:47,000] TRACE sent to (Foo.scala:12) (state.change.logger)
[2016-12-19 16:31:48,000] ERROR failed (kafka.server.ReplicaFetcherThread)
java.io.IOException: gone
\tat kafka.x.Y(Foo.scala:12)
Caused by: nothing (at all)

[2016-12-19 16:31:49,500] FATAL no logger
[2016-07-19 16:31:49,500] WARN\x20
"""


def test_a_message_and_its_continuation_lines_are_one_document() -> None:
    documents = list(parse_log(LINES.splitlines(), zone=BERLIN, service="broker"))
    assert documents == [
        {
            "timestamp": datetime(2016, 12, 19, 15, 31, 46, 143_000, tzinfo=UTC),
            "level": "info",
            "service": "broker",
            "message": "KafkaConfig values:\n\tadvertised.host.name = null\n\n\tport = 9092",
            "metadata": {"logger": "kafka.server.KafkaConfig"},
        },
        {
            "timestamp": datetime(2016, 12, 19, 15, 31, 47, tzinfo=UTC),
            "level": "info",
            "service": "broker",
            "message": "sent to (Foo.scala:12)",
            "metadata": {"level": "TRACE", "logger": "state.change.logger"},
        },
        {
            "timestamp": datetime(2016, 12, 19, 15, 31, 48, tzinfo=UTC),
            "level": "error",
            "service": "broker",
            "message": "failed",
            "metadata": {"logger": "kafka.server.ReplicaFetcherThread"},
            "stackTrace": "java.io.IOException: gone\n\tat kafka.x.Y(Foo.scala:12)\nCaused by: nothing (at all)",
        },
        {
            "timestamp": datetime(2016, 12, 19, 15, 31, 49, 500_000, tzinfo=UTC),
            "level": "error",
            "service": "broker",
            "message": "no logger",
            "metadata": {"level": "FATAL"},
        },
        {
            "timestamp": datetime(2016, 7, 19, 14, 31, 49, 500_000, tzinfo=UTC),
            "level": "warn",
            "service": "broker",
            "message": "",
            "metadata": {},
        },
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("\tat kafka.x.Y(Foo.scala:12)", "line 2 begins no message"),
        ("[2016-13-19 16:31:46,143] INFO x (a.b)", "line 2 has a time that does not exist"),
        ("[2016-03-27 02:30:00,000] INFO x (a.b)", "line 2 has a time that Europe/Berlin leaves out"),
    ],
)
def test_lines_that_cannot_be_taken(line: str, says: str) -> None:
    with pytest.raises(LogLineError, match=says):
        list(parse_log(["", line], zone=BERLIN, service="broker"))


@pytest.mark.parametrize(
    ("level", "kept"),
    [
        ("TRACE", "info"), ("DEBUG", "info"), ("INFO", "info"), ("NOTICE", "info"), ("WARN", "warn"),
        ("WARNING", "warn"), ("ERROR", "error"),
        ("SEVERE", "error"), ("FATAL", "error"), ("CRITICAL", "error"), ("CONFIG", "info"),
    ],
)  # fmt: skip
def test_levels_are_kept_as_three_and_the_original_with_them(level: str, kept: str) -> None:
    line = f"[2016-12-19 16:31:46,143] {level} x"
    [document] = parse_log([line], zone=BERLIN, service="broker")
    assert document["level"] == kept
    assert document["metadata"] == ({} if level.lower() == kept else {"level": level})


def test_the_sample_is_read_whole() -> None:
    with open_sample("kafka_server") as file:
        text = file.read()
    documents = list(parse_log(text.splitlines(), zone=ZoneInfo("UTC"), service="kafka"))
    assert len(documents) == sum(line.startswith("[20") for line in text.splitlines())
    assert Counter(document["level"] for document in documents) == {"info": 2490, "error": 5, "warn": 1}
    assert all("logger" in document["metadata"] for document in documents)
    assert sum("stackTrace" in document for document in documents) == 1
    models = [SystemLog.model_validate(document) for document in documents]
    assert models[0].timestamp == datetime(2016, 12, 19, 16, 31, 46, 143_000, tzinfo=UTC)
