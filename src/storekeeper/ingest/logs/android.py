"""Android's logcat as `-v threadtime` writes it, which is its default; with -v year, zone and uid too.

03-17 16:13:38.811  1702  2395 D WindowManager: message
"""

from __future__ import annotations

import re
from typing import Any

from storekeeper.ingest.logs.line import Beginning, Format, Stamp, YearlessTime, each
from storekeeper.ingest.logs.stamps import made, microseconds, read_stamp
from storekeeper.ingest.logs.traces import text_and_trace

_LEVELS = {
    "V": "verbose",
    "D": "debug",
    "I": "info",
    "W": "warn",
    "E": "error",
    "F": "fatal",
    "A": "assert",
}
_LINE = re.compile(
    r"(?:(?P<year>\d{4})-)?(?P<month>\d\d)-(?P<day>\d\d) (?P<time>\d\d:\d\d:\d\d)\.(?P<part>\d{3,9})"
    r"(?: (?P<zone>[+-]\d{4}))? +(?:(?P<uid>[a-z]\w*|\d+) +)?(?P<pid>\d+) +(?P<tid>\d+) (?P<level>[VDIWEFA]) "
    r"(?P<tag>.*?) *:(?: (?P<message>.*)|$)",
    re.DOTALL | re.ASCII,
)


def _read(line: str) -> Beginning | None:
    if (match := _LINE.fullmatch(line)) is None:
        return None
    said = match.groupdict()
    metadata: dict[str, Any] = {"pid": int(said["pid"]), "tid": int(said["tid"])}
    metadata |= {name: said[name] for name in ("tag", "uid") if said[name]}
    return Beginning(_stamp(said), _LEVELS[said["level"]], said["message"] or "", metadata)


def _stamp(said: dict[str, Any]) -> Stamp:
    clock = [int(part) for part in said["time"].split(":")]
    if said["year"] is None:
        return YearlessTime(
            int(said["month"]), int(said["day"]), clock[0], clock[1], clock[2], microseconds(said["part"])
        )
    text = f"{said['year']}-{said['month']}-{said['day']} {said['time']}"
    local = made(text, said["year"], said["month"], said["day"], *clock, fraction=said["part"])
    return local if said["zone"] is None else read_stamp(f"{local.isoformat()}{said['zone']}")


def _ignored(line: str) -> bool:
    """Logcat says where each of its buffers begins."""
    return not line.strip() or line.startswith("--------- ")


ANDROID = Format("android", each(_read), text_and_trace, years="some", zones="some", ignored=_ignored)
