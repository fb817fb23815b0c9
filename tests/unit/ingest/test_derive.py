"""Columns out of text columns: copied, put together, halved between, constant; and times in zones."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from storekeeper.errors import InputError
from storekeeper.ingest.mapping import FromColumn, FromConstant, parse_source
from storekeeper.ingest.moments import check_zone, to_instants
from storekeeper.ingest.rows.derive import derive
from storekeeper.stores.sql.intake import Kind, Misfit, kind_of

PRICE = kind_of("numeric(18,6)")
TEXT = kind_of("varchar(32)")


def derived(columns: dict[str, list[str | None]], source: str, kind: Kind) -> Any:
    batch = pa.record_batch([pa.array(values, pa.string()) for values in columns.values()], names=list(columns))
    return derive(batch, parse_source(source), kind, time_format=None, zone=None)


def test_a_template_puts_texts_together() -> None:
    columns: dict[str, list[str | None]] = {"symbol": ["A", "É", None], "market": ["x", "", "y"]}
    assert derived(columns, "{symbol}@{market}", TEXT).to_pylist() == ["A@x", "É@", None]
    assert derived(columns, "<{market}{market}>", TEXT).to_pylist() == ["<xx>", "<>", "<yy>"]


def test_a_number_of_nothing_is_missing_a_text_of_nothing_is_not() -> None:
    assert derived({"a": ["", "1", None]}, "a", PRICE).to_pylist() == [None, "1", None]
    assert derived({"a": ["", "1", None]}, "a", TEXT).to_pylist() == ["", "1", None]


def test_a_constant_stands_in_every_row() -> None:
    batch = pa.record_batch([pa.array(["a", "b"])], names=["x"])
    assert derive(batch, FromConstant("0"), PRICE, time_format=None, zone=None).to_pylist() == ["0", "0"]


DECIMALS = st.none() | st.one_of(
    st.decimals(-(10**6), 10**6, places=5), st.decimals(-(10**30), 10**30, allow_nan=False, places=33)
)


@given(st.lists(st.tuples(DECIMALS, DECIMALS), min_size=1))
def test_mid_is_exact(quotes: list[tuple[Decimal | None, Decimal | None]]) -> None:
    columns = {name: [None if q[n] is None else f"{q[n]:f}" for q in quotes] for n, name in enumerate(("bid", "ask"))}
    found = derived(columns, "mid(bid,ask)", PRICE).to_pylist()
    for mid, (bid, ask) in zip(found, quotes, strict=True):
        if bid is None or ask is None:
            assert mid is None
        else:
            digits = [int(f"{value:.40f}".replace(".", "")) for value in (mid, bid, ask)]
            assert 2 * digits[0] == digits[1] + digits[2]


def test_mid_of_what_is_no_number() -> None:
    with pytest.raises(Misfit, match="'x' is not a number") as caught:
        derived({"bid": ["1", "1"], "ask": ["2", "x"]}, "mid(bid,ask)", PRICE)
    assert caught.value.row == 1


def instants(texts: list[str | None], time_format: str | None = None, zone: str | None = None) -> list[Any]:
    found: list[Any] = to_instants(pa.array(texts, pa.string()), time_format=time_format, zone=zone).to_pylist()
    return found


def test_times_in_a_zone() -> None:
    texts = ["2014-07-01", "2014-01-01 09:30", "2014-07-01T09:30:00.5+02:00", None, "2014-07-01 00:00:00Z"]
    assert instants(texts, zone="America/New_York") == [
        datetime(2014, 7, 1, 4, tzinfo=UTC),
        datetime(2014, 1, 1, 14, 30, tzinfo=UTC),
        datetime(2014, 7, 1, 7, 30, 0, 500_000, tzinfo=UTC),
        None,
        datetime(2014, 7, 1, tzinfo=UTC),
    ]
    assert instants(["2014-07-01", None], zone="UTC") == [datetime(2014, 7, 1, tzinfo=UTC), None]
    assert instants(["2014-07-01"]) == ["2014-07-01"]  # the intake says that it has no zone


def test_times_by_a_format() -> None:
    texts = ["1/4/1999", "12/31/2010", None, "1/4/1999"]
    assert instants(texts, "%m/%d/%Y", "America/New_York") == [
        datetime(1999, 1, 4, 5, tzinfo=UTC),
        datetime(2010, 12, 31, 5, tzinfo=UTC),
        None,
        datetime(1999, 1, 4, 5, tzinfo=UTC),
    ]
    assert instants(["01.02.2014 03:04:05.25 +0200"], "%d.%m.%Y %H:%M:%S.%f %z", "UTC") == [
        datetime(2014, 2, 1, 1, 4, 5, 250_000, tzinfo=UTC)
    ]
    assert instants(["1/4/1999"], "%m/%d/%Y") == [datetime(1999, 1, 4)]  # noqa: DTZ001  # naive: the intake refuses it


@pytest.mark.parametrize(
    ("text", "time_format", "says"),
    [
        ("2014-03-09 02:30", None, "leaves out, or has twice"),
        ("2014-11-02 01:30", None, "leaves out, or has twice"),
        ("2014-02-30", None, "is no time"),
        ("yesterday", None, "is no time"),
        ("02/30/2014", "%m/%d/%Y", "is no time as %m/%d/%Y"),
        ("1/4/1999 x", "%m/%d/%Y", "is no time as %m/%d/%Y"),
        ("03/09/2014 02:30", "%m/%d/%Y %H:%M", "leaves out, or has twice"),
    ],
)
def test_times_that_are_none(text: str, time_format: str | None, says: str) -> None:
    good = "2014-01-01" if time_format is None else datetime(2014, 1, 1, tzinfo=UTC).strftime(time_format)
    with pytest.raises(Misfit, match=says) as caught:
        instants([good, None, text], time_format, "America/New_York")
    assert (caught.value.row, caught.value.value) == (2, text)


def test_a_zone_that_does_not_exist() -> None:
    check_zone("Europe/Berlin")
    with pytest.raises(InputError, match="no time zone is called 'Mars/Olympus'"):
        check_zone("Mars/Olympus")


def test_a_column_is_copied_as_it_is() -> None:
    batch = pa.record_batch([pa.array([" a ", None])], names=["x"])
    assert derive(batch, FromColumn("x"), TEXT, time_format=None, zone=None).to_pylist() == [" a ", None]
