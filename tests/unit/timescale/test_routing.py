"""Which level answers: what was dropped, what is archived, what is open."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from storekeeper.catalog import Range
from storekeeper.errors import BelowWatermarkError, InputError
from storekeeper.span import Span, days, hours, minutes, weeks
from storekeeper.timescale.calendars import Calendar
from storekeeper.timescale.routing import Route, Standing, routed, with_stale
from storekeeper.timescale.shapes import shape_of
from timescale_series import TICKS, moment

START = moment("2014-05-01 00:00")
DAY = timedelta(days=1)
GONE = START + 10 * DAY
HELD = [Range(GONE, START + 40 * DAY)]


def route(
    every: Span, start: datetime | None, end: datetime | None, gone: dict[str, datetime | None], **more: Any
) -> Route | None:
    calendar = Calendar(every, more.pop("zone", "UTC"))
    held = {"lab.ticks": HELD, "lab.ticks_5min": [Range(START, START + 60 * DAY)]}
    standing = Standing(gone, more.pop("held", held), more.pop("lie", None))
    return routed(TICKS, calendar, shape_of(TICKS), start, end, standing, **more)


def test_a_finer_level_answers_where_the_coarser_one_was_dropped() -> None:
    gone: dict[str, datetime | None] = {"lab.ticks": GONE, "lab.ticks_1h": START + 5 * DAY, "lab.ticks_5min": None}
    for start, level in ((START, "lab.ticks_5min"), (START + 5 * DAY, "lab.ticks_1h")):
        found = route(hours(1), start, START + 20 * DAY, gone)
        assert found is not None
        assert (found.level.name, found.cold, found.warm) == (level, (), found.window)


def test_what_was_dropped_is_refused_or_cold() -> None:
    gone: dict[str, datetime | None] = {"lab.ticks": GONE}
    with pytest.raises(BelowWatermarkError, match="bars of 1m are made of was dropped before 2014-05-11") as caught:
        route(minutes(1), START, START + 20 * DAY, gone)
    assert "1h" in caught.value.hint
    found = route(minutes(1), START, START + 20 * DAY, gone, archived=True)
    assert found is not None
    assert found.cold == (Range(START, GONE),)
    assert found.rest == ()
    assert found.warm == Range(GONE, START + 20 * DAY)
    assert [part.source for part in found.parts()] == ["the archive of lab.ticks", "lab.ticks"]
    all_cold = route(minutes(1), START, START + DAY, gone, archived=True)
    assert all_cold is not None
    assert all_cold.warm.lower == all_cold.warm.upper
    assert [part.source for part in all_cold.parts()] == ["the archive of lab.ticks"]


def test_a_bucket_that_the_watermark_cuts_is_made_of_both_tiers() -> None:
    # days of Chatham, an odd 45 minutes off: no rollup of hours fills them
    gone: dict[str, datetime | None] = {"lab.ticks": GONE, "lab.ticks_5min": GONE, "lab.ticks_1h": GONE}
    found = route(days(1), START, START + 20 * DAY, gone, archived=True, zone="Pacific/Chatham")
    assert found is not None
    (cold,), (rest,) = found.cold, found.rest
    assert cold.upper == GONE == rest.lower
    assert rest.upper == found.warm.lower == found.calendar.ceil(GONE)
    assert [part.end for part in found.parts()][-1] == found.window.upper


def test_open_ends_are_those_of_whole_buckets_that_are_held() -> None:
    found = route(weeks(1), None, None, {"lab.ticks": GONE, "lab.ticks_5min": GONE, "lab.ticks_1h": GONE})
    assert found is not None
    assert found.window.lower == weeks(1).ceil(GONE), "the first that nothing was dropped of"
    assert found.window.upper == weeks(1).ceil(START + 40 * DAY)
    assert route(weeks(1), None, None, {}, held={}) is None
    assert route(days(1), START + 80 * DAY, None, {}) is None
    assert route(days(1), None, START - DAY, {}) is None
    # what is open reaches as far as the bucket that the other end lies in
    chunks = {"lab.ticks": [Range(START + 2 * DAY, START + 3 * DAY)]}
    for start, end in ((START + 3 * DAY, None), (None, START + DAY)):
        week = route(weeks(1), start, end, {}, held=chunks)
        assert week is not None
        assert week.window == Range(weeks(1).floor(START), weeks(1).ceil(START + DAY))
    for end in (START, START - DAY):
        with pytest.raises(InputError, match="before it begins"):
            route(days(1), START, end, {})


def test_an_open_start_is_where_the_archive_begins() -> None:
    gone: dict[str, datetime | None] = {"lab.ticks": GONE, "lab.ticks_5min": GONE}
    lie = Range(START + timedelta(hours=3, minutes=7), GONE)
    found = route(minutes(5), None, None, gone, archived=True, lie=lie, held={"lab.ticks": HELD})
    assert found is not None
    assert found.window.lower == START + timedelta(hours=3, minutes=5)
    assert found.cold == (Range(found.window.lower, GONE),)
    all_cold = route(minutes(1), None, None, gone, archived=True, lie=lie, held={})
    assert all_cold is not None
    assert all_cold.window == Range(lie.lower, GONE)
    half = route(minutes(1), START + DAY, None, gone, archived=True, lie=lie, held={})
    assert half is not None
    assert half.window == Range(START + DAY, GONE)
    # a rollup that was never dropped has it all
    rolled = route(hours(1), None, None, gone, archived=True, lie=lie, held={"lab.ticks_1h": [Range(START, GONE)]})
    assert rolled is not None
    assert (rolled.level.name, rolled.cold) == ("lab.ticks_1h", ())


def test_what_is_stale_is_read_from_rows_that_are_left() -> None:
    found = route(hours(2), START, START + 20 * DAY, {"lab.ticks": GONE})
    assert found is not None
    changed = [Range(START, START + DAY), Range(GONE - DAY, GONE + timedelta(minutes=5))]
    stale = with_stale(found, changed)
    assert stale.behind == (Range(GONE, GONE + timedelta(hours=1)),)
    assert [part.source for part in stale.parts()] == ["lab.ticks_1h", "lab.ticks", "lab.ticks_1h"]


def test_a_new_rollup_that_was_not_refreshed_lacks_what_rows_cannot_make() -> None:
    gone: dict[str, datetime | None] = {"lab.ticks": GONE}
    found = route(hours(1), START, START + 20 * DAY, gone)
    assert found is not None
    assert not with_stale(found, [Range(GONE, GONE + DAY)]).lacking
    assert not with_stale(found, [Range(START - 2 * DAY, START - DAY)]).lacking
    assert with_stale(found, [Range(GONE - DAY, GONE + DAY)]).lacking
    finer = route(hours(1), START, START + 20 * DAY, gone, without={"lab.ticks_1h"})
    assert finer is not None
    assert finer.level.name == "lab.ticks_5min"
