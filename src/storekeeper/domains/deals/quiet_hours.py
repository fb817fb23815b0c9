"""Quiet hours: until when a message waits. Pure; the hours are those of the user's own day."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from storekeeper import InputError


def released(at: datetime, start: time | None, end: time | None, zone: str | None) -> datetime:
    """The moment from which a message of `at` may reach its user: `at` itself outside of the quiet hours.

    The hours are [start, end) by the clock of `zone`, an IANA name (UTC where None), over midnight where end is before
    start; none where either is missing or both are equal. Where the clock skips or repeats `end`, the first moment at
    or after it counts. Raises InputError for a zone that nobody knows.
    """
    if start is None or end is None or start == end:
        return at
    local = at.astimezone(_zone(zone))
    now = local.time()
    within = start <= now < end if start < end else now >= start or now < end
    if not within:
        return at
    day = local.date() if now < end else local.date() + timedelta(days=1)
    ends = datetime.combine(day, end, tzinfo=local.tzinfo).astimezone(UTC)
    return max(ends, at)


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(
            "no such time zone",
            operation="hold back for quiet hours",
            target=str(name),
            hint="an IANA name: Europe/Rome",
        ) from error
