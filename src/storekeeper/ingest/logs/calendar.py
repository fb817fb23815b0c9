"""Instants out of what the lines of one file say of time, in the file's order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from storekeeper.ingest.logs.line import LineError, Stamp, YearlessTime

#: A time that lies further back than this in the same year is of the next one.
HALF_A_YEAR = timedelta(days=183)
#: A line may come so late that the year has changed since.
_LATE = timedelta(days=1)
_LEAP_YEAR = 2000
_YEAR = timedelta(days=366)


class Calendar:
    """Adds the zone and the year that a time does not say itself.

    `zone`: of an hour that is there twice as clocks change, the first is meant, or neither where not `first_of_two`; an
    hour that is left out does not exist.
    `year`: that of the first line without one. From there on years are counted: a time that lies more than 183 days
    before that of the line above is of the next year, and one of up to a day before New Year, below a line of the new
    year, came late and is of the old one. So no two lines may lie more than half a year apart.
    """

    def __init__(self, zone: tzinfo | None, year: int | None, *, first_of_two: bool = True) -> None:
        self._zone = zone
        self._year = year
        self._above: datetime | None = None
        self._first_of_two = first_of_two

    def instant(self, stamp: Stamp) -> datetime:
        """The instant in UTC. Raises LineError where there is none."""
        local = self._dated(stamp) if isinstance(stamp, YearlessTime) else stamp
        try:
            if local.tzinfo is not None:
                return local.astimezone(UTC)
            if self._zone is None:
                raise LineError("has a time without a zone", missing="zone")
            if self._zone is UTC:
                return local.replace(tzinfo=UTC)
            moment = local.replace(tzinfo=self._zone)
            instant = moment.astimezone(UTC)
            there = instant.astimezone(self._zone).replace(tzinfo=None) == local
            twice = moment.utcoffset() != moment.replace(fold=1).utcoffset()
        except OverflowError as error:
            raise LineError(f"has a time that lies outside of all calendars: {local}") from error
        if not there:
            raise LineError(f"has a time that {self._zone} leaves out, as clocks change: {local}")
        if twice and not self._first_of_two:
            raise LineError(f"has a time that {self._zone} has twice, as clocks change: {local}")
        return instant

    def _dated(self, stamp: YearlessTime) -> datetime:
        if self._year is None:
            raise LineError("has a time without a year", missing="year")
        try:
            # in a leap year every day that any year has can be compared
            here = datetime(_LEAP_YEAR, *stamp)  # noqa: DTZ001  # local
        except ValueError as error:
            raise LineError(f"has a time that does not exist: {_written(stamp)}") from error
        year, above = self._year, here
        if self._above is not None:
            ahead = here - self._above
            if ahead < -HALF_A_YEAR:
                year += 1
            elif ahead > _YEAR - _LATE:
                year, above = year - 1, self._above
        try:
            local = here.replace(year=year)
        except ValueError as error:
            raise LineError(f"has a time that does not exist: {_written(stamp)} in {year}") from error
        if above is here:
            self._year, self._above = year, above
        return local


def _written(stamp: YearlessTime) -> str:
    return f"{stamp.month:02}-{stamp.day:02} {stamp.hour:02}:{stamp.minute:02}:{stamp.second:02}"
