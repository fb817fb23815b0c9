"""The usual layouts of log4j, logback and their kin: a time, a level, and what tells where the message comes from.

    2015-10-18 18:01:47,978 INFO [main] org.x.App: message            Hadoop
    2015-07-29 17:41:44,747 - INFO  [main:QuorumPeer@774] - message   ZooKeeper
    17/06/09 20:10:40 INFO executor.Backend: message                  Spark
    2024-01-02 10:11:12.345 [main] WARN  org.x.App - message          logback, log4j 2
    2024-01-02T10:11:12.345Z  INFO 4711 --- [main] o.x.App : message  Spring Boot

A date of two digits a part is year, month, day. A line of a time and a level alone has the rest for its message.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone
from typing import Any

from storekeeper.catalog.log_levels import LOG_LEVELS
from storekeeper.ingest.logs.line import Beginning, Format, LineError, each
from storekeeper.ingest.logs.stamps import made
from storekeeper.ingest.logs.traces import text_and_trace

_LEVELS = "|".join(sorted((name.upper() for name in LOG_LEVELS), key=len, reverse=True))
_STAMP = re.compile(
    r"((\d{4}|\d\d)[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[,.](\d{1,9}))?)(Z| ?[+-]\d\d:?\d\d)?\s+", re.ASCII
)
_LOGGER = r"(?P<logger>[\w$./-]+)"
_THREAD = r"\[(?P<thread>.*?)\]"
_LEVEL = rf"\[?(?P<level>{_LEVELS})\s*\]?"
#: Tried in this order on what follows the time.
_LAYOUTS = tuple(
    re.compile(layout, re.DOTALL)
    for layout in (
        rf"(?:\[myid:(?P<myid>\d*)\] )?- {_LEVEL}\s+"
        r"\[(?P<thread>.*):(?P<logger>[\w$.]+)@(?P<line>\d+)\] - ?(?P<message>.*)",
        rf"- {_LEVEL}\s+{_THREAD} - ?(?P<message>.*)",
        rf"{_LEVEL}\s+(?P<pid>\d+) --- (?:\[(?P<application>[^\]]*)\] )?"
        rf"\[\s*(?P<thread>.*?)\] {_LOGGER}\s+: ?(?P<message>.*)",
        rf"{_LEVEL}\s+\[(?P<thread>.*?)\] {_LOGGER}(?:\s+-|:)(?: (?P<message>.*)|$)",
        rf"{_LEVEL}\s+{_LOGGER}(?:\s+-|:)(?: (?P<message>.*)|$)",
        rf"\[(?P<thread>.*?)\] {_LEVEL}\s+{_LOGGER}(?:\s+-|:)(?: (?P<message>.*)|$)",
        rf"{_LEVEL}\s+{_THREAD} (?:- )?(?P<message>.*)",
        rf"\[(?P<thread>.*?)\] {_LEVEL}\s+(?:- )?(?P<message>.*)",
        rf"(?:- )?{_LEVEL}(?:\s+(?:- )?(?P<message>.*)|$)",
    )
)


def _read(line: str) -> Beginning | None:
    if (stamp := _STAMP.match(line)) is None:
        return None
    rest = line[stamp.end() :]
    found = next((match for layout in _LAYOUTS if (match := layout.fullmatch(rest))), None)
    if found is None:
        return None
    text, year, *parts, fraction, offset = stamp.groups()
    moment = made(text, year if len(year) == 4 else f"20{year}", *parts, fraction=fraction)
    if offset:
        moment = moment.replace(tzinfo=_zone(offset.strip(), text))
    said = found.groupdict()
    metadata: dict[str, Any] = {
        name: int(value) if name in ("pid", "line") else value.strip()
        for name, value in said.items()
        if value and name not in ("level", "message")
    }
    return Beginning(moment, said["level"], said["message"] or "", metadata)


def _zone(offset: str, text: str) -> timezone:
    if offset == "Z":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    if hours > 23 or minutes > 59:
        raise LineError(f"has a time that does not exist: {text}{offset}")
    away = timedelta(hours=hours, minutes=minutes)
    return timezone(-away if offset[0] == "-" else away)


LOG4J = Format("log4j", each(_read), text_and_trace, zones="some")
