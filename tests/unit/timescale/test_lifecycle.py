"""Decisions about chunks: what is due, how far a watermark rises, what is refreshed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from storekeeper.catalog import Range, Rollup, ohlcv
from storekeeper.catalog.ranges import ranges_between
from storekeeper.span import Span, days, hours, minutes, months, years
from storekeeper.timescale.chunks import Chunk
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.lifecycle import (
    ahead,
    drop_boundary,
    due_for_compression,
    due_for_drop,
    due_for_refresh,
    new_watermark,
)
from timescale_series import CANDLES, LATE, TICKS, moment


def chunks(level: Level, lower: str, upper: str) -> list[Chunk]:
    pieces = ranges_between(moment(lower), moment(upper), level.chunk)
    return [Chunk(level.name, f"{piece.lower:%Y%m%d}", piece, 1, 1) for piece in pieces]


def with_rollups(*everies: Span, chunk: Span, drop_after: Span) -> Level:
    rollups = tuple(Rollup(f"r{n}", every, ("symbol",), ohlcv("price", "volume")) for n, every in enumerate(everies))
    return Level(replace(TICKS, chunk=chunk, drop_after=drop_after, compress_after=None, rollups=rollups), 0)


def test_a_series_kept_for_ever_has_nothing_due() -> None:
    level = Level(CANDLES, 0)
    assert drop_boundary(level, moment("2030-01-01")) is None
    assert due_for_drop(level, chunks(level, "1990-01-01", "2000-01-01"), moment("2030-01-01")) == ()


@pytest.mark.parametrize(
    ("as_of", "last"),
    [
        ("2014-06-06 23:59", 6),
        ("2014-06-07 00:00", 7),
        ("2014-06-07 00:01", 7),
        ("2014-05-31 00:00", 0),
    ],
)
def test_a_chunk_is_due_when_all_of_it_is_old_enough(as_of: str, last: int) -> None:
    level = Level(TICKS, 0)
    due = due_for_drop(level, reversed(chunks(level, "2014-05-01", "2014-06-07")), moment(as_of))
    assert [chunk.name for chunk in due] == [f"201405{day:02}" for day in range(1, last + 1)]


@pytest.mark.parametrize("as_of", ["0001-01-01", "0001-02-02"])
def test_nothing_is_older_than_the_first_year(as_of: str) -> None:
    found = chunks(Level(TICKS, 0), "2014-05-01", "2014-05-03")
    for level in (Level(TICKS, 0), Level(LATE, 0), with_rollups(days(30.5), chunk=days(1), drop_after=days(30))):
        assert due_for_drop(level, found, moment(as_of)) == ()
    assert due_for_compression(TICKS, found, moment(as_of)) == ()


def test_whole_buckets_go_even_where_they_are_longer_than_chunks() -> None:
    level = Level(LATE, 0)  # weeks from Mondays
    assert drop_boundary(level, moment("2014-05-30 13:00")) == moment("2014-05-19 00:00")
    due = due_for_drop(level, chunks(level, "2014-05-05", "2014-05-30"), moment("2014-05-30 13:00"))
    assert due[-1].range.upper == moment("2014-05-19 00:00") == new_watermark(level, due)


def test_a_watermark_stands_on_whole_buckets_and_not_beyond_the_boundary() -> None:
    level = with_rollups(hours(1), hours(5), chunk=hours(7), drop_after=days(30))
    for hour in range(200):
        as_of = moment("2014-06-01 00:00") + timedelta(hours=hour)
        boundary = drop_boundary(level, as_of)
        assert boundary is not None
        due = due_for_drop(level, chunks(level, "2014-04-20", "2014-05-20"), as_of)
        mark = new_watermark(level, due)
        assert due[-1].range.upper <= mark <= boundary <= as_of - timedelta(days=30)
        assert mark == hours(1).floor(mark) == hours(5).floor(mark)
        assert mark - due[-1].range.upper < timedelta(hours=5)


def test_the_last_rollup_needs_no_alignment() -> None:
    level = Level(replace(TICKS, rollups=TICKS.rollups[:1]), 1)
    due = due_for_drop(level, chunks(level, "2012-01-01", "2014-01-01"), moment("2014-05-01"))
    assert due[-1].range.upper == new_watermark(level, due) <= moment("2013-05-01")


def test_months_as_age_and_as_buckets() -> None:
    level = with_rollups(months(1), chunk=days(1), drop_after=months(2))
    assert drop_boundary(level, moment("2014-05-31 10:00")) == moment("2014-03-01 00:00")


def test_compression_leaves_out_what_is_compressed() -> None:
    found = chunks(Level(TICKS, 0), "2014-05-01", "2014-05-10")
    found[1] = replace(found[1], compressed=True)
    due = due_for_compression(TICKS, found, moment("2014-05-11 12:00"))
    assert [chunk.name for chunk in due] == ["20140501", "20140503"]
    assert due_for_compression(CANDLES, found, moment("2024-05-11")) == ()


def test_a_refresh_takes_whole_buckets_that_have_ended() -> None:
    level = levels(TICKS)[2]
    pending = [
        Range(moment("2014-05-07 10:20"), moment("2014-05-07 10:21")),
        Range(moment("2014-05-07 10:59"), moment("2014-05-07 11:00")),
        Range(moment("2014-05-07 13:00"), moment("2014-05-07 15:01")),
    ]

    def hours_(before: str) -> list[tuple[int, int]]:
        return [(w.lower.hour, w.upper.hour) for w in due_for_refresh(level, pending, moment(before))]

    assert hours_("2014-05-07 16:00") == [(10, 11), (13, 16)]
    assert hours_("2014-05-07 15:59") == [(10, 11), (13, 15)]
    assert hours_("2014-05-07 10:59") == []


def test_ranges_ahead_begin_with_the_one_of_now() -> None:
    found = ahead(Level(TICKS, 0), moment("2014-05-07 12:00"), 2)
    assert [piece.lower.day for piece in found] == [7, 8, 9]
    found = ahead(Level(CANDLES, 0), moment("2014-12-31 23:59"), 1)
    assert [piece.lower.year for piece in found] == [2014, 2015]


def test_levels_tell_where_they_stand() -> None:
    rows, fine, coarse = levels(TICKS)
    assert [level.name for level in (rows, fine, coarse)] == ["lab.ticks", "lab.ticks_5min", "lab.ticks_1h"]
    assert fine.coarser == (coarse,)
    assert coarse.finer == (rows, fine)
    assert coarse.source == fine
    assert (rows.keep, fine.keep, coarse.keep) == (days(30), years(1), None)
    assert (fine.time, fine.natural_key) == ("bucket", ("symbol", "bucket"))
    assert str(fine.table.c.open.type) == "NUMERIC(18, 6)"
    assert [str(fine.table.c[name].type) for name in ("volume", "notional", "count")] == [
        "NUMERIC",
        "NUMERIC",
        "BIGINT",
    ]
    assert minutes(5) == fine.buckets.every
