"""Which tier answers which part of a range, and how a chunk is cut into files."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given, strategies as st

from storekeeper.catalog import Range
from storekeeper.timescale.archived import ColdFile, Content, slices
from storekeeper.timescale.chunks import Chunk
from storekeeper.timescale.tiers import FIRST, LAST, SMALL, by_chunk, segments

START = datetime(2024, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def file(earliest: float, latest: float, path: str = "f") -> ColdFile:
    return ColdFile(path, "", 1, 1, at(earliest), at(latest))


def test_files_then_chunks() -> None:
    found = segments([file(0, 23), file(24, 47)], [Range(at(48), at(72))], None, None)
    assert [(len(one.files), one.hot) for one in found] == [(1, False), (1, False), (0, True)]
    assert found[-1].range.lower == at(47) + TICK


def test_late_rows_are_read_with_the_files_of_their_time_oldest_part_first() -> None:
    old, new = file(0, 23, "old"), file(5, 6, "new")
    (found,) = segments([old, new], [Range(at(0), at(24))], at(1), at(20))
    assert (found.range, found.files, found.hot) == (Range(at(1), at(20)), (old, new), True)


def test_between_files_the_store_answers_where_it_has_a_chunk() -> None:
    found = segments([file(0, 1), file(50, 51)], [Range(at(24), at(48))], at(0), at(60))
    assert [one.range for one in found] == [
        Range(at(0), at(1) + TICK),
        Range(at(1) + TICK, at(50)),
        Range(at(50), at(51) + TICK),
    ]


@given(
    files=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=6),
    chunks=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=4),
    start=st.none() | st.integers(-5, 70),
    length=st.none() | st.integers(1, 60),
)
def test_each_instant_is_answered_once_by_all_that_may_hold_it(
    files: list[tuple[int, int]], chunks: list[tuple[int, int]], start: int | None, length: int | None
) -> None:
    cold = [file(lower, lower + more, str(place)) for place, (lower, more) in enumerate(files)]
    hot = [Range(at(lower), at(lower + more)) for lower, more in chunks]
    lower = None if start is None else at(start)
    upper = None if length is None else at((start or 0) + length)
    found = segments(cold, hot, lower, upper)
    assert all(one.range.upper <= other.range.lower for one, other in itertools.pairwise(found))
    for hour in range(-6, 90):
        moment = at(hour)
        asked = (lower is None or moment >= lower) and (upper is None or moment < upper)
        answers = [one for one in found if one.range.lower <= moment < one.range.upper]
        holders = {one.path for one in cold if one.earliest <= moment <= one.latest} if asked else set()
        stored = asked and any(chunk.lower <= moment < chunk.upper for chunk in hot)
        assert len(answers) <= 1
        assert holders <= {one.path for answer in answers for one in answer.files}
        assert not stored or answers[0].hot


@given(
    rows=st.integers(1, 10_000_000),
    first=st.integers(0, 99),
    last=st.integers(0, 99),
    lower=st.integers(0, 30),
)
def test_a_chunk_is_cut_into_windows_that_cover_its_rows(rows: int, first: int, last: int, lower: int) -> None:
    chunk = Range(at(lower), at(lower + 100))
    content = Content(rows, "", at(lower + min(first, last)), at(lower + max(first, last)))
    groups = slices(chunk, content, most=1_000_000)
    windows = [window for group in groups for window in group]
    assert windows[0].lower <= content.earliest  # type: ignore[operator]  # given above
    assert windows[-1].upper > content.latest  # type: ignore[operator]  # given above
    assert all(one.upper == other.lower for one, other in itertools.pairwise(windows))
    assert all(chunk.lower <= window.lower < window.upper <= chunk.upper for window in windows)
    assert all(window.lower.date() == (window.upper - TICK).date() for window in windows)


def test_a_chunk_without_rows_has_no_files() -> None:
    assert slices(Range(at(0), at(24)), Content(0, "0", None, None)) == ()


@given(
    sizes=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, SMALL // 3, SMALL, SMALL * 2])), max_size=12),
    start=st.none() | st.integers(-5, 40),
    length=st.none() | st.integers(1, 60),
)
def test_a_range_is_cut_where_chunks_begin_and_small_ones_stay_together(
    sizes: list[tuple[int, int]], start: int | None, length: int | None
) -> None:
    chunks, hour = [], 0
    for gap, size in sizes:
        chunks.append(Chunk("lab.ticks", f"c{hour}", Range(at(hour + gap), at(hour + gap + 2)), 0, size))
        hour += gap + 2
    lower = None if start is None else at(start)
    upper = None if length is None else at((start or 0) + length)
    found = by_chunk(lower, upper, reversed(chunks))
    asked = Range(lower or FIRST, upper or LAST)
    held = [chunk for chunk in chunks if chunk.range.overlaps(asked)]
    assert bool(found) == bool(held)
    if found:
        assert (found[0].lower, found[-1].upper) == (asked.lower, asked.upper)
    assert all(one.upper == other.lower for one, other in itertools.pairwise(found))
    for piece in found:
        inside = [chunk for chunk in held if chunk.range.overlaps(piece)]
        assert len(inside) == 1 or sum(chunk.bytes for chunk in inside) <= SMALL
    for chunk in held:
        assert len([piece for piece in found if chunk.range.overlaps(piece)]) == 1, "a chunk is read once"
