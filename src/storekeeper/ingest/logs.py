"""Raw lines of a log4j file as documents: a message with its continuation lines is one. Pure.

    [2016-12-19 16:31:46,143] INFO KafkaConfig values:
            advertised.host.name = null
     (kafka.server.KafkaConfig)

The level comes first, the logger last, in parentheses; what follows the logger is the stack trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

_BEGINNING = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[,.]\d{3})\] ([A-Z]+) ?(.*)", re.DOTALL)
#: A logger's name has dots; what else stands in parentheses at the end of a line ("Foo.scala:12") is none.
_LOGGER = re.compile(r"(?:^|\s)\(([\w$-]+(?:\.[\w$-]+)+)\)\s*$")

#: The three levels that are kept, by every name that loggers give them.
LEVELS = {
    "TRACE": "info",
    "DEBUG": "info",
    "INFO": "info",
    "NOTICE": "info",
    "WARN": "warn",
    "WARNING": "warn",
    "ERROR": "error",
    "SEVERE": "error",
    "CRITICAL": "error",
    "FATAL": "error",
}


class LogLineError(ValueError):
    """A line that cannot be taken, and why."""

    def __init__(self, line: int, cause: str) -> None:
        super().__init__(f"line {line} {cause}")


@dataclass(slots=True)
class _Message:
    line: int
    stamp: str
    level: str
    lines: list[str] = field(default_factory=list)


def parse_log(lines: Iterable[str], *, zone: tzinfo, service: str) -> Iterator[dict[str, Any]]:
    """One document a message: timestamp (UTC), level, service, message, metadata.logger, stackTrace.

    The lines' own times are local time in `zone` (of an hour that is there twice, the first). A level that is none of
    info, warn and error is kept in metadata.level. Lines come without their ends.
    Raises LogLineError where the file does not begin with a message, or a time does not exist.
    """
    for message in _messages(lines):
        yield _document(message, zone, service)


def _messages(lines: Iterable[str]) -> Iterator[_Message]:
    current: _Message | None = None
    for number, line in enumerate(lines, start=1):
        if match := _BEGINNING.fullmatch(line):
            if current is not None:
                yield current
            current = _Message(number, match[1], match[2], [match[3]])
        elif current is not None:
            current.lines.append(line)
        elif line.strip():
            raise LogLineError(number, "begins no message: expected [YYYY-MM-DD HH:MM:SS,mmm] LEVEL message (logger)")
    if current is not None:
        yield current


def _document(message: _Message, zone: tzinfo, service: str) -> dict[str, Any]:
    try:
        local = datetime.fromisoformat(message.stamp.replace(",", ".")).replace(tzinfo=zone)
        timestamp = local.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise LogLineError(message.line, f"has a time that does not exist: {message.stamp}") from error
    if timestamp.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        raise LogLineError(message.line, f"has a time that {zone} leaves out, as clocks change: {message.stamp}")
    level = LEVELS.get(message.level, "info")
    metadata: dict[str, Any] = {} if message.level.lower() == level else {"level": message.level}
    text, logger, trace = _taken_apart(message.lines)
    if logger:
        metadata["logger"] = logger
    document: dict[str, Any] = {
        "timestamp": timestamp,
        "level": level,
        "service": service,
        "message": text,
        "metadata": metadata,
    }
    if trace:
        document["stackTrace"] = trace
    return document


def _taken_apart(lines: list[str]) -> tuple[str, str, str]:
    """(message, logger, stack trace)."""
    for number, line in enumerate(lines):
        if match := _LOGGER.search(line):
            message = [*lines[:number], line[: match.start()]]
            return "\n".join(message).rstrip(), match[1], "\n".join(lines[number + 1 :]).rstrip()
    return "\n".join(lines).rstrip(), "", ""
