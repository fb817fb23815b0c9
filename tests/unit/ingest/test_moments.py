"""Texts as instants, against Python's datetime and zoneinfo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from storekeeper.errors import InputError
from storekeeper.ingest.moments import check_zone, to_instants
from storekeeper.stores.sql.intake import Misfit

ZONES = ("UTC", "America/New_York", "Europe/Paris", "Asia/Kolkata", "Australia/Lord_Howe")
_naive = st.datetimes(datetime(1980, 1, 1), datetime(2037, 1, 1))  # noqa: DTZ001  # local times are the point
_offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def expected(local: datetime, zone: str) -> datetime | None:
    """The instant of a local time; None where there is none, or two."""
    first, second = (local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1))
    return first if first == second else None


@settings(deadline=None)
@given(moments=st.lists(st.tuples(_naive, st.none() | _offsets), min_size=1, max_size=8), zone=st.sampled_from(ZONES))
def test_offsets_win_and_the_zone_is_for_the_rest(moments: list[tuple[datetime, timezone | None]], zone: str) -> None:
    texts = [moment.replace(tzinfo=offset).isoformat() for moment, offset in moments]
    wanted = [
        moment.replace(tzinfo=offset).astimezone(UTC) if offset else expected(moment, zone)
        for moment, offset in moments
    ]
    if None in wanted:
        with pytest.raises(Misfit, match="leaves out, or has twice") as caught:
            to_instants(pa.array(texts), time_format=None, zone=zone)
        assert wanted[caught.value.row] is None
    else:
        assert to_instants(pa.array(texts), time_format=None, zone=zone).to_pylist() == wanted


@settings(deadline=None)
@given(moment=_naive, offset=st.none() | _offsets, zone=st.sampled_from(ZONES))
def test_formats_are_those_of_strptime(moment: datetime, offset: timezone | None, zone: str) -> None:
    form = "%d/%m/%Y %H:%M:%S.%f" + (" %z" if offset else "")
    text = moment.replace(tzinfo=offset).strftime(form)
    wanted = moment.replace(tzinfo=offset).astimezone(UTC) if offset else expected(moment, zone)
    if wanted is None:
        with pytest.raises(Misfit):
            to_instants(pa.array([text]), time_format=form, zone=zone)
    else:
        assert to_instants(pa.array([None, text, text]), time_format=form, zone=zone).to_pylist() == [
            None,
            wanted,
            wanted,
        ]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("2/30/2014", "%m/%d/%Y"),
        ("0001-01-01 +0500", "%Y-%m-%d %z"),
        ("9999-12-31 23 -0500", "%Y-%m-%d %H %z"),
        ("", "%Y"),
        ("2014", "%Y-%m"),
    ],
)
def test_what_is_no_time_by_its_format(text: str, form: str) -> None:
    with pytest.raises(Misfit, match="is no time as") as caught:
        to_instants(pa.array([None, text]), time_format=form, zone="UTC")
    assert caught.value.row == 1


def test_without_format_or_zone_texts_stay_as_they_are() -> None:
    texts = pa.array(["2014-05-01T00:00:00", None])
    assert to_instants(texts, time_format=None, zone=None) is texts


def test_a_zone_that_is_none() -> None:
    for zone in ("Mars/Olympus", "../etc/passwd", "", "\0"):
        with pytest.raises(InputError, match="no time zone is called"):
            check_zone(zone)
    check_zone(None)
    check_zone("Europe/Paris")
