"""Clocks return aware UTC, whatever they are given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from storekeeper.clock import FixedClock, SystemClock
from storekeeper.errors import NaiveTimeError


def test_the_system_clock_is_aware_and_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_a_fixed_clock_tells_its_moment_in_utc() -> None:
    moment = datetime(2014, 5, 7, 12, tzinfo=timezone(timedelta(hours=2)))
    assert FixedClock(moment).now() == datetime(2014, 5, 7, 10, tzinfo=UTC)


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(NaiveTimeError, match="no time zone"):
        FixedClock(datetime(2014, 5, 7))  # noqa: DTZ001  # naive on purpose
