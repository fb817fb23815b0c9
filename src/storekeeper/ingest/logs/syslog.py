"""Syslog as files have it: RFC 3164 with its bare month and day, rsyslog's ISO times, and RFC 5424.

    Jun 14 15:16:01 combo sshd(pam_unix)[19939]: message
    2024-06-14T15:16:01.123456+02:00 combo sshd[19939]: message
    <34>1 2024-06-14T15:16:01.003Z combo su - ID47 [exampleSDID@32473 iut="3"] message

The level is the severity of <PRI>; without that a message is info.
"""

from __future__ import annotations

import re
from typing import Any

from storekeeper.ingest.logs.levels import SEVERITIES
from storekeeper.ingest.logs.line import Beginning, Format, LineError, Stamp, YearlessTime, each
from storekeeper.ingest.logs.stamps import MONTHS, made, microseconds, read_stamp
from storekeeper.ingest.logs.traces import text_and_trace

_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp"),
    *("audit", "alert", "clock", *(f"local{number}" for number in range(8))),
)
_ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:\d\d)?"
_OLD = re.compile(
    r"(?:<(?P<pri>\d{1,3})>)?"
    rf"(?:(?P<month>{'|'.join(MONTHS)}) (?P<day>[ \d]?\d)(?: (?P<year>\d{{4}}))? "
    r"(?P<time>\d\d:\d\d:\d\d)(?:\.(?P<part>\d{1,9}))?"
    rf"|(?P<iso>{_ISO})) (?P<host>\S+) ?(?P<rest>.*)",
    re.DOTALL | re.ASCII,
)
#: A program's name ends with a colon, or with its process in brackets; some add their version ("syslogd 1.4.1:"), and
#: login says who ("-- root[1]:").
_TAG = re.compile(
    r" ?(?P<tag>(?:-- )?[^\s:\[\]]+(?: [\d.]+)?)(?:\[(?P<pid>[^\]\s]*)\])?:(?: (?P<message>.*)|$)", re.DOTALL
)
_NEW = re.compile(
    rf"<(?P<pri>\d{{1,3}})>1 (?P<iso>-|{_ISO}) (?P<host>\S+) (?P<tag>\S+) (?P<pid>\S+) (?P<msgid>\S+) "
    r'(?P<data>-|(?:\[[^\s\]="]+(?: [^\s\]="]+="(?:[^"\\\]]|\\.)*")*\])+)(?: (?:\ufeff)?(?P<message>.*))?',
    re.DOTALL,
)
_ELEMENT = re.compile(r'\[([^\s\]="]+)((?: [^\s\]="]+="(?:[^"\\\]]|\\.)*")*)\]', re.DOTALL)
_PARAMETER = re.compile(r' ([^\s\]="]+)="((?:[^"\\\]]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\\]])')


def _read(line: str) -> Beginning | None:
    if match := _NEW.fullmatch(line):
        return _new(match)
    if match := _OLD.fullmatch(line):
        return _old(match)
    return None


def _old(match: re.Match[str]) -> Beginning:
    said = match.groupdict()
    level, metadata = _priority(said["pri"])
    metadata["host"] = said["host"]
    message = said["rest"]
    if tagged := _TAG.fullmatch(message):
        metadata |= _process(tagged["tag"], tagged["pid"])
        message = tagged["message"] or ""
    return Beginning(_stamp(said), level, message, metadata)


def _new(match: re.Match[str]) -> Beginning:
    said = {name: None if value == "-" else value for name, value in match.groupdict().items()}
    if said["iso"] is None:
        raise LineError("has no time")
    level, metadata = _priority(said["pri"])
    metadata |= {name: said[name] for name in ("host", "msgid") if said[name]}
    metadata |= _process(said["tag"], said["pid"])
    if said["data"]:
        metadata["data"] = {
            element[1]: {name: _ESCAPED.sub(r"\1", value) for name, value in _PARAMETER.findall(element[2])}
            for element in _ELEMENT.finditer(said["data"])
        }
    return Beginning(read_stamp(said["iso"]), level, said["message"] or "", metadata)


def _stamp(said: dict[str, Any]) -> Stamp:
    if said["iso"]:
        return read_stamp(said["iso"])
    month, day, clock = MONTHS[said["month"]], int(said["day"]), [int(part) for part in said["time"].split(":")]
    if said["year"]:
        text = f"{said['month']} {day} {said['year']} {said['time']}"
        return made(text, said["year"], month, day, *clock, fraction=said["part"])
    return YearlessTime(month, day, clock[0], clock[1], clock[2], microseconds(said["part"]))


def _priority(text: str | None) -> tuple[str | None, dict[str, Any]]:
    """The severity's name, and the facility: a PRI is eight times the one, and the other."""
    if text is None:
        return None, {}
    facility, severity = divmod(int(text), len(SEVERITIES))
    if facility >= len(_FACILITIES):
        raise LineError(f"has a priority that does not exist: {text}")
    return SEVERITIES[severity], {"facility": _FACILITIES[facility]}


def _process(tag: str | None, pid: str | None) -> dict[str, Any]:
    named: dict[str, Any] = {"tag": tag} if tag else {}
    return named | ({"pid": int(pid) if pid.isdecimal() and len(pid) < 19 else pid} if pid else {})


SYSLOG = Format("syslog", each(_read), text_and_trace, years="some", zones="some")
