"""The three levels that are kept, by every name that loggers give them."""

from __future__ import annotations

from typing import Literal, TypeAlias

Level: TypeAlias = Literal["info", "warn", "error"]

_NAMES: dict[Level, str] = {
    "info": "all trace verbose finest finer fine debug config info information informational notice log default",
    "warn": "warn warning",
    "error": "err error severe crit critical fatal assert alert emerg emergency panic failure",
}
LEVELS: dict[str, Level] = {name: level for level, names in _NAMES.items() for name in names.split()}

#: The severities of syslog, by number.
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


def kept_level(original: str | int | None) -> tuple[Level, str | int | None]:
    """The level of a message, and the original where it says more than that.

    No level is info, and so is one that nobody knows. Numbers below 10 are severities of syslog; from 10 on they rise
    as pino and bunyan count: 40 is a warning, 50 an error.
    """
    if original is None or original == "":
        return "info", None
    if isinstance(original, int):
        if 0 <= original < len(SEVERITIES):
            return LEVELS[SEVERITIES[original]], original
        return "error" if original >= 50 else "warn" if original >= 40 else "info", original
    name = original.strip().lower()
    level = LEVELS.get(name, "info")
    return level, None if name == level else original
