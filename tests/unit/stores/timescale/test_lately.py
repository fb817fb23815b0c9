"""Where the newest rows of keys are looked for first."""

from __future__ import annotations

from datetime import timedelta

from storekeeper.stores.sql.arrow import Table, pa
from storekeeper.stores.timescale.lately import Lately
from timescale_series import LATE, TICKS, moment

START = moment("2014-05-01 00:00")


def rows(*days: float) -> Table:
    times = [START + timedelta(days=day) for day in days]
    table: Table = pa.table({"time": pa.array(times, pa.timestamp("us", tz="Asia/Tokyo"))})
    return table


def test_it_begins_with_the_chunk_of_the_oldest_one_found() -> None:
    lately = Lately()
    assert lately.earliest(TICKS) is None
    lately.note(TICKS, rows(5.5, 4.25, 5), 3)
    assert lately.earliest(TICKS) == START + timedelta(days=4)
    assert lately.earliest(LATE) is None


def test_few_keys_do_not_speak_for_many() -> None:
    lately = Lately()
    lately.note(TICKS, rows(5, 4), 2)
    lately.note(TICKS, rows(5), 1)
    assert lately.earliest(TICKS) == START + timedelta(days=4)
    lately.note(TICKS, rows(3), 1)
    assert lately.earliest(TICKS) == START + timedelta(days=3), "but what is older is older"
    lately.note(TICKS, rows(7, 6), 2)
    assert lately.earliest(TICKS) == START + timedelta(days=6)


def test_where_a_key_is_nowhere_all_is_looked_at() -> None:
    lately = Lately()
    lately.note(TICKS, rows(5), 1)
    lately.note(TICKS, rows(5), 2)
    assert lately.earliest(TICKS) is None
    lately.note(TICKS, rows(), 0)
    assert lately.earliest(TICKS) is None


def test_times_that_python_has_no_dates_for_say_nothing() -> None:
    lately = Lately()
    far = pa.table({"time": pa.array([900_000_000_000_000_000], pa.timestamp("us", tz="UTC"))})
    lately.note(TICKS, far, 1)
    assert lately.earliest(TICKS) is None
