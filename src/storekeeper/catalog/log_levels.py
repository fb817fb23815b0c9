"""The three levels of log lines that are kept, by every name that loggers give them."""

from __future__ import annotations

from typing import Literal, TypeAlias

LogLevel: TypeAlias = Literal["info", "warn", "error"]

_NAMES: dict[LogLevel, str] = {
    "info": "all trace verbose finest finer fine debug config info information informational notice log default",
    "warn": "warn warning",
    "error": "err error severe crit critical fatal assert alert emerg emergency panic failure",
}
#: By names in lower case.
LOG_LEVELS: dict[str, LogLevel] = {name: level for level, names in _NAMES.items() for name in names.split()}
