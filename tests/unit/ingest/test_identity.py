"""Ids that are the same for the same record, and no other's."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, strategies as st

from storekeeper.ingest.documents.identity import id_of, seed_of
from storekeeper.ingest.mapping import parse_map

SEED = seed_of("invest.logs", "kafka", {}, {"service": "a"}, before=0)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.binary(min_size=1), st.binary(min_size=1))  # noqa: DTZ001  # UTC is put on
def test_an_id_has_its_documents_time_and_is_a_marks_own(moment: datetime, mark: bytes, other: bytes) -> None:
    aware = moment.replace(tzinfo=UTC)
    found = id_of(SEED, mark, aware)
    assert found == id_of(SEED, mark, aware)
    assert found.generation_time == aware.replace(microsecond=0)
    assert (id_of(SEED, other, aware) == found) == (mark == other)


def test_times_that_four_bytes_do_not_count_are_the_nearest() -> None:
    early, late = (id_of(SEED, b"x", datetime(year, 1, 1, tzinfo=UTC)) for year in (1900, 2200))
    assert (early.binary[:4], late.binary[:4]) == (b"\0\0\0\0", b"\xff\xff\xff\xff")


def test_seeds_differ_by_all_that_makes_documents_differ() -> None:
    seeds = [
        SEED,
        seed_of("invest.log", "kafka", {}, {"service": "a"}, before=0),
        seed_of("invest.logs", "log4j", {}, {"service": "a"}, before=0),
        seed_of("invest.logs", "kafka", {}, {"service": "b"}, before=0),
        seed_of("invest.logs", "kafka", parse_map(["service=a"]), {}, before=0),
        seed_of("invest.logs", "kafka", parse_map(["service={a}"]), {}, before=0),
        seed_of("invest.logs", "kafka", {}, {"service": "a"}, before=1),
    ]
    assert len(set(seeds)) == len(seeds)
    one, two = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert seed_of("d.c", "csv", {}, one, before=0) == seed_of("d.c", "csv", {}, two, before=0)
