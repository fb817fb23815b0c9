"""The access logs of Apache and nginx: the common format, the combined one, and that with the virtual host in front.

    203.0.113.9 - alice [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 2326 "https://example.org/" "Mozilla/5.0"

The message is the request line as the server wrote it; a "-" is nothing.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from storekeeper.ingest.logs.line import Beginning, Format, LineError, each
from storekeeper.ingest.logs.stamps import MONTHS, read_stamp
from storekeeper.ingest.logs.traces import text_and_trace

_QUOTED = r'(?:[^"\\]|\\.)*'
_LINE = re.compile(
    r"(?:(?P<virtualHost>\S+:\d+) )?(?P<host>\S+) (?P<identity>\S+) (?P<user>.+?) "
    r"\[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    rf'"(?P<request>{_QUOTED})" (?P<status>\d{{3}}|-) (?P<bytes>\d{{1,18}}|-)'
    rf'(?: "(?P<referrer>{_QUOTED})" "(?P<userAgent>{_QUOTED})"(?: (?P<more>.+))?)?\s*',
    re.ASCII | re.DOTALL,
)
_REQUEST = re.compile(r"(?P<method>[A-Za-z_-]+) (?P<path>.*?)(?: (?P<protocol>[A-Za-z]+/[\d.]+))?")
_NAMES = ("virtualHost", "host", "identity", "user", "status", "bytes", "referrer", "userAgent", "more")


def _read(line: str) -> Beginning | None:
    if (match := _LINE.fullmatch(line)) is None:
        return None
    said = match.groupdict()
    metadata: dict[str, Any] = {
        name: int(said[name]) if name in ("status", "bytes") else said[name]
        for name in _NAMES
        if said[name] not in (None, "", "-")
    }
    if request := _REQUEST.fullmatch(said["request"]):
        metadata |= {name: value for name, value in request.groupdict().items() if value}
    return Beginning(_stamp(said["time"]), None, said["request"], metadata)


def _stamp(text: str) -> datetime:
    """17/May/2015:10:05:03 +0000."""
    month = MONTHS.get(text[3:6])
    if month is None:
        raise LineError(f"has a time that does not exist: {text}")
    try:
        moment = read_stamp(f"{text[7:11]}-{month:02}-{text[:2]}T{text[12:20]}{text[21:]}")
    except LineError as fault:
        raise LineError(f"has a time that does not exist: {text}") from fault
    assert isinstance(moment, datetime)
    return moment


COMBINED = Format("combined", each(_read), text_and_trace, zones="all", multiline=False)
