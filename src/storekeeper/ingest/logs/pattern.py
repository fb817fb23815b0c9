"""Log lines by a pattern of the caller's own, with named groups.

    regex:(?P<timestamp>\\S+ \\S+) (?P<level>[A-Z]+) (?P<tag>\\w+): (?P<message>.*)

Patterns are RE2's, which has neither look-around nor back-references, and reads every line in time proportional to its
length: no pattern can bring it to a standstill.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from storekeeper.errors import InputError
from storekeeper.ingest.logs.json_lines import is_uuid
from storekeeper.ingest.logs.line import Beginning, Extent, Format, LineError
from storekeeper.ingest.logs.stamps import carries_offset, carries_year, read_stamp
from storekeeper.ingest.logs.traces import text_and_trace

#: Characters of a pattern, at most.
LONGEST = 4_096
_NEEDED = ("timestamp", "message")
_FIELDS = ("service", "userId", "requestId", "stackTrace")
_HINT = r"such as regex:(?P<timestamp>\S+ \S+) (?P<level>[A-Z]+) (?P<message>.*)"


def pattern_format(pattern: str, time_format: str | None) -> Format:
    """The format of lines that match a pattern as a whole. Raises InputError where that is none, or lacks a group."""
    if len(pattern) > LONGEST:
        raise InputError(f"a pattern has {LONGEST} characters at most, not {len(pattern)}", operation="read log lines")
    whole = f"^(?:{pattern})$"
    try:
        groups = [group.name for group in cast("pa.StructType", _matched([], whole).type)]
    except pa.ArrowInvalid as error:
        cause = str(error).removeprefix("Invalid regular expression: ")
        raise InputError(
            f"{pattern!r} is no pattern: {cause}",
            operation="read log lines",
            hint="patterns are RE2's, without look-around, and every group has a name; (?:…) groups without one",
        ) from error
    missing = [name for name in _NEEDED if name not in groups]
    if missing:
        raise InputError(
            f"{pattern!r} has no group {' and no group '.join(missing)}", operation="read log lines", hint=_HINT
        )
    twice = [name for name, count in Counter(groups).items() if count > 1]
    if twice:
        raise InputError(f"{pattern!r} names the group {twice[0]} twice", operation="read log lines", hint=_HINT)
    years: Extent = "some" if time_format is None else "all" if carries_year(time_format) else "none"
    zones: Extent = "some" if time_format is None else "all" if carries_offset(time_format) else "none"

    def read(lines: Sequence[str]) -> Iterator[Beginning | LineError | None]:
        found: list[dict[str, Any] | None] = _matched(lines, whole).to_pylist()
        for said in found:
            try:
                yield None if said is None else _beginning(said, time_format)
            except LineError as fault:
                yield fault

    return Format(
        f"regex:{pattern}",
        read,
        text_and_trace,
        years=years,
        zones=zones,
        named="service" in groups,
    )


def _matched(lines: Sequence[str], pattern: str) -> pa.Array[Any]:
    """The groups of each line as one struct, null where it does not match."""
    return pc.extract_regex(pa.array(lines, pa.string()), pattern)


def _beginning(said: dict[str, Any], time_format: str | None) -> Beginning:
    """Of groups that took no part there is nothing to say."""
    message = said.pop("message")
    stamp = said.pop("timestamp")
    if not stamp:
        raise LineError("has no time")
    level = said.pop("level", None)
    given = {name: value for name, value in said.items() if value}
    fields = {
        name: given.pop(name)
        for name in _FIELDS
        if name in given and (name not in ("userId", "requestId") or is_uuid(given[name]))
    }
    return Beginning(read_stamp(stamp, time_format), level, message, given, fields)
