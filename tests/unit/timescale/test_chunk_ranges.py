"""Windows in whole buckets, and the pieces in which they are worked through."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, strategies as st

from storekeeper.catalog import Range
from storekeeper.catalog.ranges import merged
from storekeeper.span import Span, days, hours, minutes, months, weeks
from storekeeper.timescale.chunks import aligned, missing, pieces
from timescale_series import moment


def of(lower: str, upper: str) -> Range:
    return Range(moment(lower), moment(upper))


def test_touched_buckets_are_whole_and_joined() -> None:
    touched = [of("2014-05-07 10:01", "2014-05-07 10:02"), of("2014-05-07 10:05", "2014-05-07 10:06")]
    assert aligned(touched, minutes(5)) == (of("2014-05-07 10:00", "2014-05-07 10:10"),)
    assert aligned([], minutes(5)) == ()
    assert aligned([of("2014-05-31 23:00", "2014-06-01 01:00")], months(1)) == (of("2014-05-01", "2014-07-01"),)


def test_missing_chunks_each_once_and_in_order() -> None:
    wanted = [of("2014-05-09 10:00", "2014-05-09 11:00"), of("2014-05-07 23:00", "2014-05-09 00:00")]
    there = [of("2014-05-08", "2014-05-09")]
    assert missing(wanted, days(1), there) == (of("2014-05-07", "2014-05-08"), of("2014-05-09", "2014-05-10"))


def test_pieces_of_a_window_with_a_gap() -> None:
    chunks = [of("2014-05-01", "2014-05-02"), of("2014-05-02", "2014-05-03"), of("2014-05-10", "2014-05-11")]
    found = list(pieces(of("2014-05-01 12:00", "2014-05-20"), chunks, days(1), hours(1)))
    assert found == [
        (of("2014-05-01 12:00", "2014-05-02"), True),
        (of("2014-05-02", "2014-05-03"), True),
        (of("2014-05-03", "2014-05-10"), False),
        (of("2014-05-10", "2014-05-11"), True),
        (of("2014-05-11", "2014-05-20"), False),
    ]


_MOMENTS = st.integers(0, 24 * 60).map(lambda count: hours(1).floor(moment("2014-05-01")) + count * hours(1).duration)
_RANGES = st.tuples(_MOMENTS, st.integers(1, 200)).map(
    lambda pair: Range(pair[0], pair[0] + pair[1] * hours(1).duration)
)


@given(
    _RANGES,
    st.lists(_RANGES, max_size=6),
    st.sampled_from([hours(6), days(1), weeks(1)]),
    st.sampled_from([minutes(5), hours(1), hours(5), days(1), weeks(1), months(1)]),
)
def test_pieces_cover_a_window_once(window: Range, filled: list[Range], length: Span, every: Span) -> None:
    window = aligned([window], every)[0]
    found = list(pieces(window, filled, length, every))
    bounds = [piece.lower for piece, _ in found] + [found[-1][0].upper]
    assert (bounds[0], bounds[-1]) == (window.lower, window.upper)
    assert all(one.upper == other.lower for (one, _), (other, _) in pairwise(found))
    assert all(every.floor(bound) == bound for bound in bounds)
    covered = merged(piece for piece, may_hold_rows in found if may_hold_rows)
    for part in filled:
        if part.overlaps(window):
            inside = Range(max(part.lower, window.lower), min(part.upper, window.upper))
            assert any(piece.lower <= inside.lower and inside.upper <= piece.upper for piece in covered)
