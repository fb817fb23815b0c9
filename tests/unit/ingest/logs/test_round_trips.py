"""Fields written as a line of a format come back out of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given, strategies as st

from storekeeper.ingest.logs.calendar import Calendar
from storekeeper.ingest.logs.formats import format_of
from storekeeper.ingest.logs.line import Line
from storekeeper.ingest.logs.messages import Message, read_log
from storekeeper.ingest.logs.stamps import MONTHS

MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1)).map(  # noqa: DTZ001  # UTC is put on
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
WORDS = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,12}", fullmatch=True)
LOGGERS = st.lists(WORDS, min_size=2, max_size=4).map(".".join)
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=60).map(str.strip)
COUNTS = st.integers(0, 2**31)
LEVELS = st.sampled_from(["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"])
MONTH_NAMES = list(MONTHS)


def read(line: str, form: str, year: int | None = None) -> dict[str, Any]:
    [message] = read_log([[Line(1, line, b"")]], format_of(form), Calendar(UTC, year))
    assert isinstance(message, Message), message
    return message.document


def level_of(said: dict[str, Any]) -> str:
    return str(said["metadata"].get("level", said["level"])).upper()


def millis(moment: datetime) -> str:
    return f"{moment.microsecond // 1000:03}"


@given(MOMENTS, LEVELS, TEXTS, LOGGERS)
def test_kafka(moment: datetime, level: str, text: str, logger: str) -> None:
    said = read(f"[{moment:%Y-%m-%d %H:%M:%S},{millis(moment)}] {level} {text} ({logger})", "kafka")
    assert (said["timestamp"], level_of(said), said["message"]) == (moment, level, text)
    assert said["metadata"]["logger"] == logger


@given(MOMENTS, LEVELS, TEXTS, LOGGERS, WORDS, st.sampled_from(["hadoop", "logback", "spring"]), OFFSETS)
def test_log4j(
    moment: datetime, level: str, text: str, logger: str, thread: str, layout: str, offset: timezone
) -> None:
    time = f"{moment:%Y-%m-%d %H:%M:%S},{millis(moment)}"
    line = {
        "hadoop": f"{time} {level} [{thread}] {logger}: {text}",
        "logback": f"{time} [{thread}] {level:5} {logger} - {text}",
        "spring": f"{moment.astimezone(offset).isoformat(timespec='milliseconds')} {level:>5} 7 --- [{thread:>15}] "
        f"{logger:40} : {text}",
    }[layout]
    said = read(line, "log4j")
    assert (said["timestamp"], level_of(said), said["message"]) == (moment, level, text)
    assert said["metadata"] == said["metadata"] | {"logger": logger, "thread": thread}


@given(MOMENTS, st.integers(0, 191) | st.none(), WORDS, WORDS, COUNTS, TEXTS)
def test_syslog_of_old(moment: datetime, priority: int | None, host: str, tag: str, pid: int, text: str) -> None:
    moment = moment.replace(microsecond=0)
    head = "" if priority is None else f"<{priority}>"
    month = MONTH_NAMES[moment.month - 1]
    said = read(f"{head}{month} {moment.day:2} {moment:%H:%M:%S} {host} {tag}[{pid}]: {text}", "syslog", moment.year)
    assert (said["timestamp"], said["message"]) == (moment, text)
    assert said["metadata"] == said["metadata"] | {"host": host, "tag": tag, "pid": pid}
    severity = 6 if priority is None else priority % 8
    assert said["level"] == ("error" if severity < 4 else "warn" if severity == 4 else "info")


@given(
    MOMENTS,
    OFFSETS,
    st.integers(0, 191),
    st.tuples(WORDS, WORDS, WORDS),
    st.dictionaries(WORDS, st.dictionaries(WORDS, TEXTS, max_size=3), max_size=3),
    TEXTS,
)
def test_syslog_of_today(
    moment: datetime,
    offset: timezone,
    priority: int,
    names: tuple[str, str, str],
    data: dict[str, dict[str, str]],
    text: str,
) -> None:
    host, tag, msgid = names

    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]") + '"'

    elements = "".join(
        "[" + " ".join([name, *(f"{key}={quoted(value)}" for key, value in pairs.items())]) + "]"
        for name, pairs in data.items()
    )
    local = moment.astimezone(offset).isoformat(timespec="milliseconds")
    said = read(f"<{priority}>1 {local} {host} {tag} - {msgid} {elements or '-'} {text}", "syslog")
    assert (said["timestamp"], said["message"]) == (moment, text)
    assert said["metadata"] == said["metadata"] | {"host": host, "tag": tag, "msgid": msgid}
    assert said["metadata"].get("data", {}) == data


@given(MOMENTS, COUNTS, COUNTS, st.sampled_from("VDIWEFA"), WORDS, TEXTS)
def test_android(moment: datetime, pid: int, tid: int, letter: str, tag: str, text: str) -> None:
    line = f"{moment:%m-%d %H:%M:%S}.{millis(moment)} {pid:5} {tid:5} {letter} {tag:8}: {text}"
    said = read(line, "android", moment.year)
    assert (said["timestamp"], said["message"], level_of(said)[0]) == (moment, text, letter)
    assert said["metadata"] == said["metadata"] | {"pid": pid, "tid": tid, "tag": tag}


@given(
    MOMENTS,
    OFFSETS,
    st.ip_addresses(),
    st.none() | WORDS,
    TEXTS,
    st.integers(100, 599),
    st.none() | COUNTS,
    st.none() | st.tuples(TEXTS, TEXTS),
)
def test_combined(
    moment: datetime,
    offset: timezone,
    host: object,
    user: str | None,
    path: str,
    status: int,
    size: int | None,
    behind: tuple[str, str] | None,
) -> None:
    moment = moment.replace(microsecond=0)
    local = moment.astimezone(offset)

    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    time = f"{local.day:02}/{MONTH_NAMES[local.month - 1]}/{local.year:04}:{local:%H:%M:%S %z}"
    request = f"GET /{path} HTTP/2.0"
    line = f"{host} - {user or '-'} [{time}] {quoted(request)} {status} {'-' if size is None else size}"
    if behind:
        line += f" {quoted(behind[0])} {quoted(behind[1])}"
    said = read(line, "combined")
    assert said["timestamp"] == moment
    assert said["message"] == quoted(request)[1:-1]
    metadata = said["metadata"]
    assert (metadata["host"], metadata.get("user"), metadata["status"]) == (str(host), user, status)
    assert metadata.get("bytes") == size
    for name, value in zip(("referrer", "userAgent"), behind or (), strict=False):
        assert metadata.get(name, "") == ("" if value == "-" else quoted(value)[1:-1])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
#: Names that mean nothing to the reader.
REST = st.dictionaries(WORDS.map("x_{}".format), JSON, max_size=4)


@given(MOMENTS, LEVELS, TEXTS.filter(bool), WORDS, REST, st.booleans())
def test_json(moment: datetime, level: str, text: str, service: str, rest: dict[str, Any], counted: bool) -> None:
    time = round(moment.timestamp() * 1000) if counted and moment.year > 1990 else moment.isoformat()
    line = json.dumps({"ts": time, "severity": level, "msg": text, "app": service, **rest}, ensure_ascii=False)
    said = read(line, "json")
    assert (said["timestamp"], level_of(said)) == (moment, level)
    assert (said["message"], said["service"]) == (text, service)
    assert {name: value for name, value in said["metadata"].items() if name != "level"} == rest
