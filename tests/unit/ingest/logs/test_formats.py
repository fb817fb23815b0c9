"""What each format's lines say."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, tzinfo
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from storekeeper.domains.invest.documents import SystemLog
from storekeeper.errors import InputError
from storekeeper.ingest.logs.calendar import Calendar
from storekeeper.ingest.logs.formats import format_of, is_log_format
from storekeeper.ingest.logs.line import Line
from storekeeper.ingest.logs.messages import Message, Refused, read_log
from storekeeper.sample import open_sample

BERLIN = ZoneInfo("Europe/Berlin")


def read(
    text: str, form: str, *, zone: tzinfo | None = UTC, year: int | None = None, time_format: str | None = None
) -> list[Message | Refused]:
    lines = [Line(place, line, b"") for place, line in enumerate(text.split("\n"), start=1)]
    return list(read_log([lines], format_of(form, time_format=time_format), Calendar(zone, year)))


def document(line: str, form: str, **options: Any) -> dict[str, Any]:
    [message] = read(line, form, **options)
    assert isinstance(message, Message), message
    return message.document


def refusal(line: str, form: str, **options: Any) -> str:
    [refused] = read(line, form, **options)
    assert isinstance(refused, Refused), refused
    assert refused.text == line
    return refused.fault.reason


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # a tuple of numbers, as many as are given


KAFKA = """\
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


def test_kafka_has_its_logger_last_and_the_stack_trace_behind_it() -> None:
    documents = [message.document for message in read(KAFKA, "kafka", zone=BERLIN) if isinstance(message, Message)]
    assert documents == [
        {
            "timestamp": at(2016, 12, 19, 15, 31, 46, 143_000),
            "level": "info",
            "message": "KafkaConfig values:\n\tadvertised.host.name = null\n\n\tport = 9092",
            "metadata": {"logger": "kafka.server.KafkaConfig"},
        },
        {
            "timestamp": at(2016, 12, 19, 15, 31, 47),
            "level": "info",
            "message": "sent to (Foo.scala:12)",
            "metadata": {"level": "TRACE", "logger": "state.change.logger"},
        },
        {
            "timestamp": at(2016, 12, 19, 15, 31, 48),
            "level": "error",
            "message": "failed",
            "metadata": {"logger": "kafka.server.ReplicaFetcherThread"},
            "stackTrace": "java.io.IOException: gone\n\tat kafka.x.Y(Foo.scala:12)\nCaused by: nothing (at all)",
        },
        {
            "timestamp": at(2016, 12, 19, 15, 31, 49, 500_000),
            "level": "error",
            "message": "no logger",
            "metadata": {"level": "FATAL"},
        },
        {"timestamp": at(2016, 7, 19, 14, 31, 49, 500_000), "level": "warn", "message": "", "metadata": {}},
    ]


def test_the_sample_is_read_whole() -> None:
    with open_sample("kafka_server") as file:
        text = file.read()
    messages = read(text, "kafka")
    documents = [message.document for message in messages if isinstance(message, Message)]
    assert len(messages) == len(documents) == sum(line.startswith("[20") for line in text.splitlines())
    assert Counter(document["level"] for document in documents) == {"info": 2490, "error": 5, "warn": 1}
    assert all("logger" in document["metadata"] for document in documents)
    assert sum("stackTrace" in document for document in documents) == 1
    models = [SystemLog.model_validate({**document, "service": "kafka"}) for document in documents]
    assert models[0].timestamp == at(2016, 12, 19, 16, 31, 46, 143_000)


@pytest.mark.parametrize(
    ("line", "moment", "level", "message", "metadata"),
    [
        (
            "2023-03-04 18:01:47,978 INFO [Thread-7] org.example.app.Master: took job_17: done",
            at(2023, 3, 4, 18, 1, 47, 978_000), "info", "took job_17: done",
            {"thread": "Thread-7", "logger": "org.example.app.Master"},
        ),
        (
            "2023-03-04 17:41:44,747 - WARN  [Peer[myid=1]/0:0:0:2181:Election@774] - Notification time out: 3200",
            at(2023, 3, 4, 17, 41, 44, 747_000), "warn", "Notification time out: 3200",
            {"thread": "Peer[myid=1]/0:0:0:2181", "logger": "Election", "line": 774},
        ),
        (
            "2023-03-04 17:41:44,747 [myid:3] - INFO  [main:Config@1] - reading",
            at(2023, 3, 4, 17, 41, 44, 747_000), "info", "reading",
            {"myid": "3", "thread": "main", "logger": "Config", "line": 1},
        ),
        (
            "2023-03-04 17:41:44,747 - INFO  [thread 1] - just a thread",
            at(2023, 3, 4, 17, 41, 44, 747_000), "info", "just a thread", {"thread": "thread 1"},
        ),
        (
            "23/06/09 20:10:40 ERROR executor.Backend: lost [TERM, HUP]",
            at(2023, 6, 9, 20, 10, 40), "error", "lost [TERM, HUP]", {"logger": "executor.Backend"},
        ),
        (
            "2024-01-02 10:11:12.345 [pool-1-thread-2] DEBUG o.e.Shop - sold 3",
            at(2024, 1, 2, 10, 11, 12, 345_000), "info", "sold 3",
            {"level": "DEBUG", "thread": "pool-1-thread-2", "logger": "o.e.Shop"},
        ),
        (
            "2024-01-02T10:11:12.345+01:00  INFO 4711 --- [shop] [nio-8080-exec-1] o.e.Shop                 : open",
            at(2024, 1, 2, 9, 11, 12, 345_000), "info", "open",
            {"pid": 4711, "application": "shop", "thread": "nio-8080-exec-1", "logger": "o.e.Shop"},
        ),
        (
            "2024-01-02T10:11:12Z  WARN 1 --- [           main] o.e.Shop : slow",
            at(2024, 1, 2, 10, 11, 12), "warn", "slow", {"pid": 1, "thread": "main", "logger": "o.e.Shop"},
        ),
        ("2024/01/02 10:11:12 SEVERE the disk is full", at(2024, 1, 2, 10, 11, 12), "error", "the disk is full",
         {"level": "SEVERE"}),
        ("2024-01-02 10:11:12 INFO", at(2024, 1, 2, 10, 11, 12), "info", "", {}),
        ("2024-01-02 10:11:12 INFO org.example.Shop:", at(2024, 1, 2, 10, 11, 12), "info", "",
         {"logger": "org.example.Shop"}),
    ],
)  # fmt: skip
def test_log4j_layouts(line: str, moment: datetime, level: str, message: str, metadata: dict[str, Any]) -> None:
    assert document(line, "log4j") == {
        "timestamp": moment, "level": level, "message": message, "metadata": metadata,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "moment", "level", "message", "metadata"),
    [
        (
            "Jun 14 15:16:01 mail sshd(pam_unix)[19939]: authentication failure; uid=0 ",
            at(2005, 6, 14, 15, 16, 1), "info", "authentication failure; uid=0 ",
            {"host": "mail", "tag": "sshd(pam_unix)", "pid": 19939},
        ),
        ("Jul  4 05:06:07 mail kernel: usb 1-1: new", at(2005, 7, 4, 5, 6, 7), "info", "usb 1-1: new",
         {"host": "mail", "tag": "kernel"}),
        ("Jul  4 05:06:07 mail syslogd 1.4.1: restart.", at(2005, 7, 4, 5, 6, 7), "info", "restart.",
         {"host": "mail", "tag": "syslogd 1.4.1"}),
        ("Jul  4 05:06:07 mail  -- root[24]: LOGIN", at(2005, 7, 4, 5, 6, 7), "info", "LOGIN",
         {"host": "mail", "tag": "-- root", "pid": 24}),
        ("Jul  4 05:06:07 mail last message repeated 5 times", at(2005, 7, 4, 5, 6, 7), "info",
         "last message repeated 5 times", {"host": "mail"}),
        ("<34>Jul  4 05:06:07 mail su: denied", at(2005, 7, 4, 5, 6, 7), "error", "denied",
         {"level": "crit", "facility": "auth", "host": "mail", "tag": "su"}),
        ("<12>Jul  4 2019 05:06:07.25 mail su: odd", at(2019, 7, 4, 5, 6, 7, 250_000), "warn", "odd",
         {"level": "warning", "facility": "user", "host": "mail", "tag": "su"}),
        ("2024-06-14T15:16:01.123456+02:00 mail sshd[7]: in", at(2024, 6, 14, 13, 16, 1, 123_456), "info", "in",
         {"host": "mail", "tag": "sshd", "pid": 7}),
        (
            r'<165>1 2024-10-11T22:14:15.003Z mail app 8 ID47 [a@1 k="v" q="x \"y\" \]"][b@1] ' + "\ufeffit is on",
            at(2024, 10, 11, 22, 14, 15, 3_000), "info", "it is on",
            {"level": "notice", "facility": "local4", "host": "mail", "msgid": "ID47", "tag": "app", "pid": 8,
             "data": {"a@1": {"k": "v", "q": 'x "y" ]'}, "b@1": {}}},
        ),
        ("<11>1 2024-10-11T22:14:15Z - - - - -", at(2024, 10, 11, 22, 14, 15), "error", "",
         {"level": "err", "facility": "user"}),
    ],
)  # fmt: skip
def test_syslog_of_both_kinds(line: str, moment: datetime, level: str, message: str, metadata: dict[str, Any]) -> None:
    assert document(line, "syslog", year=2005) == {
        "timestamp": moment, "level": level, "message": message, "metadata": metadata,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("<999>Jul  4 05:06:07 mail su: x", "a priority that does not exist: 999"),
        ("Feb 30 05:06:07 mail su: x", "a time that does not exist: 02-30 05:06:07"),
        ("Feb 29 05:06:07 mail su: x", "a time that does not exist: 02-29 05:06:07 in 2005"),
        ("Jul  4 25:06:07 mail su: x", "a time that does not exist"),
        ("Feb 30 2019 05:06:07 mail su: x", "a time that does not exist: Feb 30 2019"),
        ("<11>1 - mail app 8 - - x", "has no time"),
        ("nothing of the kind", "begins no message as syslog writes it"),
    ],
)
def test_syslog_that_cannot_be_taken(line: str, says: str) -> None:
    assert says in refusal(line, "syslog", year=2005)


def test_android_says_who_and_how_badly() -> None:
    assert document("03-17 16:13:38.811  1702  2395 D WindowManager: a: b", "android", year=2015) == {
        "timestamp": at(2015, 3, 17, 16, 13, 38, 811_000),
        "level": "info",
        "message": "a: b",
        "metadata": {"level": "debug", "pid": 1702, "tid": 2395, "tag": "WindowManager"},
    }
    said = document("2015-03-17 16:13:38.811 +0100 u0_a12  1702  2395 W Tag with words : ", "android", zone=None)
    assert (said["timestamp"], said["level"]) == (at(2015, 3, 17, 15, 13, 38, 811_000), "warn")
    assert said["metadata"] == {"pid": 1702, "tid": 2395, "tag": "Tag with words", "uid": "u0_a12"}
    levels = {letter: document(f"03-17 16:13:38.811 1 2 {letter} t: x", "android", year=2015) for letter in "VDIWEFA"}
    assert {letter: said["level"] for letter, said in levels.items()} == {
        "V": "info", "D": "info", "I": "info", "W": "warn", "E": "error", "F": "error", "A": "error",
    }  # fmt: skip
    assert "level" not in levels["I"]["metadata"]


def test_where_a_buffer_of_android_begins_is_no_message() -> None:
    text = "--------- beginning of main\n03-17 16:13:38.811 1 2 I t: x\n--------- beginning of system\n"
    [message] = read(text, "android", year=2015)
    assert isinstance(message, Message)
    assert message.document["message"] == "x"


def test_an_access_log_in_its_three_layouts() -> None:
    common = '203.0.113.9 - - [17/May/2015:10:05:03 +0200] "GET /a?b=%20 HTTP/1.1" 304 -'
    metadata = {"host": "203.0.113.9", "status": 304, "method": "GET", "path": "/a?b=%20", "protocol": "HTTP/1.1"}
    assert document(common, "combined", zone=None) == {
        "timestamp": at(2015, 5, 17, 8, 5, 3),
        "level": "info",
        "message": "GET /a?b=%20 HTTP/1.1",
        "metadata": metadata,
    }
    combined = f'{common[:-1]}2326 "https://example.org/\\"q\\"" "Mozilla/5.0 (X11)" 0.004'.replace(
        "- -", "id ann b", 1
    )
    assert document(f"www.example.org:443 {combined}", "combined")["metadata"] == metadata | {
        "virtualHost": "www.example.org:443",
        "identity": "id",
        "user": "ann b",
        "bytes": 2326,
        "referrer": 'https://example.org/\\"q\\"',
        "userAgent": "Mozilla/5.0 (X11)",
        "more": "0.004",
    }
    odd = document('::1 - - [17/May/2015:10:05:03 +0000] "\\x16\\x03\\x01" 400 0 "-" "-"', "combined")
    assert odd["message"] == "\\x16\\x03\\x01"
    assert odd["metadata"] == {"host": "::1", "status": 400, "bytes": 0}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('::1 - - [17/May/2015:10:05:03] "GET / HTTP/1.1" 200 1', "is no line of combined"),
        ('::1 - - [31/Feb/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1', "does not exist: 31/Feb/2015"),
        ('::1 - - [17/Mai/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1', "does not exist: 17/Mai/2015"),
        ("\tat x.Y(Z.java:1)", "is no line of combined"),
    ],
)
def test_no_line_continues_an_access_log(line: str, says: str) -> None:
    good = '::1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1'
    message, refused = read(f"{good}\n{line}", "combined")
    assert isinstance(message, Message)
    assert isinstance(refused, Refused)
    assert says in refused.fault.reason


USER = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            f'{{"timestamp": "2024-05-17T10:05:03.120Z", "level": "WARN", "service": "auth", "message": "slow",'
            f' "userId": "{USER}", "request_id": "r-1", "ms": 8.5, "metadata": {{"host": "a"}}}}',
            {"timestamp": at(2024, 5, 17, 10, 5, 3, 120_000), "level": "warn", "service": "auth", "userId": USER,
             "message": "slow", "metadata": {"host": "a", "request_id": "r-1", "ms": 8.5}},
        ),
        (
            '{"level": 30, "time": 1715940303120, "pid": 1, "hostname": "h", "msg": "ready"}',
            {"timestamp": at(2024, 5, 17, 10, 5, 3, 120_000), "level": "info", "message": "ready",
             "metadata": {"level": 30, "pid": 1, "hostname": "h"}},
        ),
        (
            '{"@timestamp": "2024-05-17T12:05:03", "log": {"level": "error", "logger": "a.B"}, "message": "x",'
            ' "service": {"name": "shop"}, "error": {"stack_trace": "at y", "type": "E"}}',
            {"timestamp": at(2024, 5, 17, 10, 5, 3), "level": "error", "service": "shop", "stackTrace": "at y",
             "message": "x", "metadata": {"log": {"logger": "a.B"}, "service": {}, "error": {"type": "E"}}},
        ),
        (
            '{"ts": 1715940303.25, "severity": "CRITICAL", "event": "down", "exc_info": true}',
            {"timestamp": at(2024, 5, 17, 10, 5, 3, 250_000), "level": "error", "message": "down",
             "metadata": {"level": "CRITICAL", "exc_info": True}},
        ),
        (
            '{"ts": "1715940303", "text": "", "msg": "second"}',
            {"timestamp": at(2024, 5, 17, 10, 5, 3), "level": "info", "message": "second",
             "metadata": {"text": ""}},
        ),
    ],
)  # fmt: skip
def test_json_by_the_usual_names(line: str, expected: dict[str, Any]) -> None:
    assert document(line, "json", zone=BERLIN) == expected


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is no JSON"),
        ('{"a": NaN}', "has NaN, which is no JSON"),
        ('{"a": 1, "a": 2}', "has the key 'a' twice"),
        ("[1]", "is no JSON object"),
        ('{"message": "x"}', "has no time"),
        ('{"ts": 1}', "has no message"),
        ('{"ts": "yesterday", "msg": "x"}', "'yesterday' is no time as ISO 8601 writes it"),
        ('{"ts": 1e300, "msg": "x"}', "is no time"),
        ('{"ts": 0, "msg": ' + "[" * 101 + "]" * 101 + "}", "nests deeper than 100 levels"),
        ("[" * 100_000, "nests deeper than 100 levels"),
    ],
)
def test_json_that_cannot_be_taken(line: str, says: str) -> None:
    assert says in refusal(line, "json")


PATTERN = r"regex:(?P<timestamp>\S+ \S+) (?:\[(?P<tag>\w+)\] )?(?P<level>[A-Za-z]+): (?P<message>.*)"


def test_a_pattern_of_ones_own() -> None:
    text = "2024-05-17 10:05:03 [core] Warning: hot\n  and hotter\n2024-05-17 10:05:04 Info: fine\n"
    first, second = read(text, PATTERN)
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert first.document == {
        "timestamp": at(2024, 5, 17, 10, 5, 3),
        "level": "warn",
        "message": "hot\n  and hotter",
        "metadata": {"level": "Warning", "tag": "core"},
    }
    assert second.document["metadata"] == {}


def test_a_pattern_names_fields_and_has_times_of_its_own() -> None:
    pattern = (
        r"regex:(?P<timestamp>\w{3} \d+ [\d:]+) (?P<service>\w+) (?P<userId>\S+) (?P<requestId>\S+) (?P<n>\d+) "
        r"(?P<message>.*?)(?: TRACE (?P<stackTrace>.*))?"
    )
    line = f"Dec 31 23:59:59 shop {USER} r-17 42 sold TRACE at x"
    assert document(line, pattern, year=2023, time_format="%b %d %H:%M:%S") == {
        "timestamp": at(2023, 12, 31, 23, 59, 59),
        "level": "info",
        "service": "shop",
        "userId": str(UUID(USER)),
        "stackTrace": "at x",
        "message": "sold",
        "metadata": {"n": "42", "requestId": "r-17"},
    }


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(", "is no pattern"),
        (r"(?P<timestamp>a)(?P<message>(b))", "unnamed groups"),
        (r"(?P<timestamp>a)(?=b)(?P<message>b)", "is no pattern: invalid perl operator"),
        (r"(?P<timestamp>a)", "has no group message"),
        (r"(?P<x>a)", "has no group timestamp and no group message"),
        (r"(?P<timestamp>a)(?P<message>b)(?P<message>c)", "names the group message twice"),
        ("a" * 5_000, "has 4096 characters at most, not 5000"),
    ],
)
def test_a_pattern_that_is_refused(pattern: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        format_of(f"regex:{pattern}")
    assert says in caught.value.cause


@pytest.mark.timeout(20)
def test_no_pattern_takes_for_ever() -> None:
    pattern = r"regex:(?P<timestamp>\d+) (?P<message>(?:a+)+)b"
    assert refusal("1 " + "a" * 100_000, pattern) == f"begins no message as {pattern} writes it"


def test_formats_by_name() -> None:
    assert is_log_format("kafka")
    assert is_log_format("regex:x")
    assert not is_log_format("csv")
    with pytest.raises(InputError, match="close to it: syslog"):
        format_of("sislog")
    with pytest.raises(InputError, match="kafka has times of its own"):
        format_of("kafka", time_format="%Y")
    forms = {name: format_of(name) for name in ("kafka", "log4j", "syslog", "android", "combined", "json")}
    assert {name: (form.years, form.zones, form.multiline, form.named) for name, form in forms.items()} == {
        "kafka": ("all", "none", True, False),
        "log4j": ("all", "some", True, False),
        "syslog": ("some", "some", True, False),
        "android": ("some", "some", True, False),
        "combined": ("all", "all", False, False),
        "json": ("some", "some", False, True),
    }
    dated = format_of(PATTERN, time_format="%d.%m. %H:%M %z")
    assert (dated.years, dated.zones, dated.named) == ("none", "all", False)
