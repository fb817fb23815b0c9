"""Texts of times as instants: by ISO 8601 or a format, in a zone where they carry none."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from storekeeper.errors import InputError
from storekeeper.stores.sql.arrow import Array, pa, pc
from storekeeper.stores.sql.intake import Misfit, cast_or_misfit

_NAIVE = pa.timestamp("us")
_INSTANT = pa.timestamp("us", tz="UTC")
#: A time of day with an offset behind it; the hyphens of a date alone are no offset.
_HAS_OFFSET = r"[T ].*(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)$"


def check_zone(zone: str | None) -> None:
    """Raises InputError where there is no such zone."""
    if zone is None:
        return
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(
            f"no time zone is called {zone!r}", operation="ingest", hint="name it like UTC or America/New_York"
        ) from error


def to_instants(texts: Array, *, time_format: str | None, zone: str | None) -> Array:
    """The instants of these texts; as they are where neither a format nor a zone is given. Raises Misfit.

    Timestamps of a typed file are instants already, or local time in `zone`.

    A text with an offset of its own keeps it. One without is local time in `zone`; a local time that a change of clocks
    leaves out, or has twice, is a misfit. `time_format` is strptime's.
    """
    if not pa.types.is_string(texts.type):
        naive = pa.types.is_timestamp(texts.type) and texts.type.tz is None
        return _localised(texts, _to_microseconds(texts), zone) if naive and zone is not None else texts
    if time_format is not None:
        return _by_format(texts, time_format, zone)
    if zone is None:
        return texts
    aware = pc.match_substring_regex(texts, _HAS_OFFSET)
    if not pc.any(aware).as_py():
        return _localised(texts, _read_naive(texts), zone)
    nothing = pa.scalar(None, pa.string())
    local = pc.if_else(aware, nothing, texts)
    absolute = pc.if_else(aware, texts, nothing)
    instants = cast_or_misfit(
        absolute, lambda part: pc.cast(part, _INSTANT), lambda _: "is no time as ISO 8601 writes it"
    )
    return pc.coalesce(instants, _localised(local, _read_naive(local), zone))


def _to_microseconds(naive: Array) -> Array:
    return cast_or_misfit(naive, lambda part: pc.cast(part, _NAIVE), lambda _: "is finer than a microsecond")


def _read_naive(texts: Array) -> Array:
    return cast_or_misfit(texts, lambda part: pc.cast(part, _NAIVE), lambda _: "is no time as ISO 8601 writes it")


def _by_format(texts: Array, time_format: str, zone: str | None) -> Array:
    """Each different text is read once: Python's strptime is slow, but refuses what does not exist (February 30)."""
    packed = texts.dictionary_encode()
    read: list[datetime | None] = []
    aware = "%z" in time_format
    for text in packed.dictionary.to_pylist():
        try:
            moment = datetime.strptime(text, time_format)  # noqa: DTZ007  # the zone is applied below
            read.append(moment.astimezone(UTC) if aware else moment)
        except (ValueError, OverflowError) as error:  # an offset may lead out of the years 1 to 9999
            row = pc.index(texts, text).as_py()
            raise Misfit(row, text, f"is no time as {time_format} writes it") from error
    if aware:
        return pa.array(read, _INSTANT).take(packed.indices)
    naive = pa.array(read, _NAIVE).take(packed.indices)
    return naive if zone is None else _localised(texts, naive, zone)


def _localised(texts: Array, naive: Array, zone: str) -> Array:
    if zone.upper() == "UTC":
        return naive.view(_INSTANT)
    try:
        local = cast_or_misfit(
            naive,
            lambda part: pc.assume_timezone(part, zone, ambiguous="raise", nonexistent="raise"),
            lambda _: f"is a time that {zone} leaves out, or has twice, as clocks change",
        )
    except Misfit as misfit:
        misfit.value = texts[misfit.row].as_py()
        raise
    return local.cast(_INSTANT)
