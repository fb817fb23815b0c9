"""The formats of log lines, by name.

| format | lines | year | zone |
| --- | --- | --- | --- |
| kafka | `[time] LEVEL message (logger)` | yes | no |
| log4j | Hadoop, ZooKeeper, Spark, logback, Spring Boot | yes | some |
| syslog | RFC 3164, rsyslog, RFC 5424 | some | some |
| android | logcat -v threadtime, with -v year and zone too | some | some |
| combined | access logs of Apache and nginx, the common format too | yes | yes |
| json | one object a line | yes | some |
| regex:PATTERN | named groups: timestamp, message, level, service, … | by `time_format` | by `time_format` |
"""

from __future__ import annotations

from difflib import get_close_matches

from storekeeper.errors import InputError
from storekeeper.ingest.logs.access import COMBINED
from storekeeper.ingest.logs.android import ANDROID
from storekeeper.ingest.logs.json_lines import json_format
from storekeeper.ingest.logs.kafka import KAFKA
from storekeeper.ingest.logs.line import Format
from storekeeper.ingest.logs.log4j import LOG4J
from storekeeper.ingest.logs.pattern import pattern_format
from storekeeper.ingest.logs.syslog import SYSLOG

_FIXED = {form.name: form for form in (KAFKA, LOG4J, SYSLOG, ANDROID, COMBINED)}
_PATTERN = "regex:"
NAMES = (*_FIXED, "json", f"{_PATTERN}PATTERN")


def is_log_format(form: str) -> bool:
    """Whether this names a format of log lines."""
    return form in NAMES or form.startswith(_PATTERN)


def format_of(form: str, *, time_format: str | None = None) -> Format:
    """The format of this name. `time_format` is strptime's, for json and patterns. Raises InputError."""
    if form.startswith(_PATTERN):
        return pattern_format(form.removeprefix(_PATTERN), time_format)
    if form == "json":
        return json_format(time_format)
    if form not in _FIXED:
        close = get_close_matches(form, NAMES, n=1)
        raise InputError(
            f"no format of log lines is called {form!r}",
            operation="read log lines",
            hint=f"close to it: {close[0]}" if close else f"there are: {', '.join(NAMES)}",
        )
    if time_format is not None:
        raise InputError(
            f"{form} has times of its own", operation="read log lines", hint="a time format goes with json and regex:…"
        )
    return _FIXED[form]
