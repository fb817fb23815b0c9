"""The level that is kept of a message, by the name or number that its logger gives it."""

from __future__ import annotations

from storekeeper.catalog.log_levels import LOG_LEVELS, LogLevel

#: The severities of syslog, by number.
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


def kept_level(original: str | int | None) -> tuple[LogLevel, str | int | None]:
    """The level of a message, and the original where it says more than that.

    No level is info, and so is one that nobody knows. Numbers below 10 are severities of syslog; from 10 on they rise
    as pino and bunyan count: 40 is a warning, 50 an error.
    """
    if original is None or original == "":
        return "info", None
    if isinstance(original, int):
        if 0 <= original < len(SEVERITIES):
            return LOG_LEVELS[SEVERITIES[original]], original
        return "error" if original >= 50 else "warn" if original >= 40 else "info", original
    name = original.strip().lower()
    level = LOG_LEVELS.get(name, "info")
    return level, None if name == level else original
