"""Clocks: the only place where the package asks what time it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from storekeeper.errors import InputError, NaiveTimeError


class Clock(Protocol):
    """Says what time it is, as an aware UTC datetime."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FixedClock:
    """Stands still at one moment, so that a job can be run as of any moment."""

    def __init__(self, moment: datetime) -> None:
        self._moment = as_utc(moment)

    def now(self) -> datetime:
        return self._moment


def as_utc(moment: datetime) -> datetime:
    """The same instant in UTC. Raises NaiveTimeError where `moment` carries no zone, InputError where it is none."""
    if not isinstance(moment, datetime):
        raise InputError(f"{moment!r} is no moment", hint="give a datetime with a zone, or parse the text first")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise NaiveTimeError(f"{moment.isoformat()} has no time zone", hint="give an offset, such as +00:00 or Z")
    return moment.astimezone(UTC)
