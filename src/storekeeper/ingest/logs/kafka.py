"""Kafka's log4j layout: the level comes first, the logger last, in parentheses, perhaps lines further down.

    [2016-12-19 16:31:46,143] INFO KafkaConfig values:
            advertised.host.name = null
     (kafka.server.KafkaConfig)

What follows the logger is the stack trace.
"""

from __future__ import annotations

import re

from storekeeper.ingest.logs.line import Beginning, Body, Format, each
from storekeeper.ingest.logs.stamps import made
from storekeeper.ingest.logs.traces import text_and_trace

_BEGINNING = re.compile(
    r"\[((\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)[,.](\d{3}))\] ([A-Z]+) ?(.*)", re.DOTALL | re.ASCII
)
#: A logger's name has dots; what else stands in parentheses at the end of a line ("Foo.scala:12") is none.
_LOGGER = re.compile(r"(?:^|\s)\(([\w$-]+(?:\.[\w$-]+)+)\)\s*$")


def _read(line: str) -> Beginning | None:
    if (match := _BEGINNING.fullmatch(line)) is None:
        return None
    text, *parts, fraction, level, message = match.groups()
    year, *rest = parts
    return Beginning(made(text, year, *rest, fraction=fraction), level, message)


def _body(lines: list[str]) -> Body:
    for index, line in enumerate(lines):
        if match := _LOGGER.search(line):
            message = "\n".join([*lines[:index], line[: match.start()]]).rstrip()
            return Body(message, "\n".join(lines[index + 1 :]).rstrip(), {"logger": match[1]})
    return text_and_trace(lines)


KAFKA = Format("kafka", each(_read), _body)
