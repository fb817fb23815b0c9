"""Who holds a connection."""

from __future__ import annotations

import logging
from time import monotonic

import pytest

from storekeeper.stores.sql.holders import Holders, caller


def test_a_connection_held_too_long_is_reported_once_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "storekeeper.pool")
    holders = Holders("postgres")
    driver = object()
    holder = holders.took(driver)
    holder.place, holder.limit, holder.since = "service.py:12", 30, monotonic() - 31
    holders.report_overdue()
    holders.report_overdue()
    holders.gave_back(driver)
    (record,) = caplog.records
    assert "service.py:12" in record.getMessage()
    assert holders.now() == ()


def test_within_its_time_or_without_a_limit_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    holders = Holders("postgres")
    for limit, age in ((30, 29), (None, 9000)):
        driver = object()
        holder = holders.took(driver)
        holder.limit, holder.since = limit, monotonic() - age
        holders.report_overdue()
        holders.gave_back(driver)
    assert caplog.records == []


def test_the_longest_holder_comes_first() -> None:
    holders = Holders("postgres")
    first, second = holders.took(object()), holders.took(object())
    first.since, second.since = 10.0, 5.0
    assert holders.now() == (second, first)


def test_the_caller_is_named_by_file_and_line() -> None:
    place = caller()
    assert place.startswith(f"{__file__}:")
