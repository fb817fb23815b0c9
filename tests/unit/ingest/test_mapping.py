"""What `--map` and `--set` say, and which columns come from where."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from storekeeper.errors import ColumnError
from storekeeper.ingest.mapping import (
    ColumnSource,
    FromColumn,
    FromConstant,
    FromMid,
    FromTemplate,
    parse_map,
    parse_set,
    parse_source,
    resolve,
)

INTRADAY = ("time", "symbol", "price", "volume", "bid", "ask")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("close", FromColumn("close")),
        ("Adj Close", FromColumn("Adj Close")),
        ("{symbol}@{market}", FromTemplate(("", "@", ""), ("symbol", "market"))),
        ("{a}{b}", FromTemplate(("", "", ""), ("a", "b"))),
        ("x{{y}}{a}", FromTemplate(("x{y}", ""), ("a",))),
        ("mid(bid,ask)", FromMid("bid", "ask")),
        (" mid( bid close , ask ) ", FromMid("bid close", "ask")),
    ],
)
def test_sources(text: str, source: ColumnSource) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize("text", ["", "{", "{}", "{a", "a}", "{a!r}", "{a:>5}"])
def test_what_is_no_source(text: str) -> None:
    with pytest.raises(ColumnError):
        parse_source(text)


def test_options() -> None:
    assert parse_map(["price=close", "symbol={a}={b}"]) == {
        "price": FromColumn("close"),
        "symbol": FromTemplate(("", "=", ""), ("a", "b")),
    }
    assert parse_set(["volume=0", "note=", "name=a=b"]) == {"volume": "0", "note": "", "name": "a=b"}


@pytest.mark.parametrize("options", [["price"], ["=close"], ["price=a", "price=b"]])
def test_options_that_say_nothing_or_twice(options: list[str]) -> None:
    with pytest.raises(ColumnError):
        parse_map(options)
    with pytest.raises(ColumnError):
        parse_set(options)


def resolved(
    header: str, maps: list[str], sets: Sequence[str] = (), *, skip_unknown: bool = False
) -> dict[str, ColumnSource]:
    return resolve(
        header.split(","),
        INTRADAY,
        parse_map(maps),
        parse_set(sets),
        skip_unknown=skip_unknown,
        operation="ingest",
        target="invest.intraday_prices",
    )


def test_columns_of_the_same_name_map_themselves() -> None:
    assert resolved("price,time,symbol,volume", []) == {
        name: FromColumn(name) for name in ("time", "symbol", "price", "volume")
    }


def test_a_mapping_says_what_it_leaves_out_on_purpose() -> None:
    maps = ["time=ts_utc", "symbol={symbol}@{market}", "price=close"]
    assert resolved("ts_utc,market,symbol,open,high,low,close,volume", maps) == {
        "time": FromColumn("ts_utc"),
        "symbol": FromTemplate(("", "@", ""), ("symbol", "market")),
        "price": FromColumn("close"),
        "volume": FromColumn("volume"),
    }


def test_constants_and_halves() -> None:
    assert resolved("time,symbol,bid,ask", ["price=mid(bid,ask)"], ["volume=0"]) == {
        "time": FromColumn("time"),
        "symbol": FromColumn("symbol"),
        "price": FromMid("bid", "ask"),
        "volume": FromConstant("0"),
        "bid": FromColumn("bid"),
        "ask": FromColumn("ask"),
    }


@pytest.mark.parametrize(
    ("header", "maps", "sets", "says"),
    [
        ("time,symbol,price,volume,venue", [], [], "'venue' is none of the dataset's"),
        ("time,symbol,price,volume,venue", [], ["bid=1"], "'venue' is none of the dataset's"),
        ("time,symbol,price,price", [], [], "the header names 'price' twice"),
        ("time,symbol,price,volume", ["prices=price"], [], "no column prices"),
        ("time,symbol,price,volume", [], ["prices=1"], "no column prices"),
        ("time,symbol,Price,volume", ["price=price"], [], "the file has no column price"),
        ("time,symbol,price,volume", ["symbol={symbol}@{venue}"], [], "the file has no column venue"),
        ("time,symbol,bid,volume", ["price=mid(bid,ask)"], [], "the file has no column ask"),
        ("time,symbol,price,volume", ["price=price"], ["price=1"], "'price' is both mapped and set"),
    ],
)
def test_columns_that_contradict(header: str, maps: list[str], sets: list[str], says: str) -> None:
    with pytest.raises(ColumnError, match=says):
        resolved(header, maps, sets)


def test_unknown_columns_can_be_skipped() -> None:
    assert "venue" not in resolved("time,symbol,price,volume,venue", [], skip_unknown=True)


def test_a_file_of_which_nothing_is_taken_is_refused() -> None:
    for constants in ({}, {"volume": "1"}):
        with pytest.raises(ColumnError, match="none of the file's columns is one of the dataset's"):
            resolve(("a", "b"), INTRADAY, {}, constants, skip_unknown=True, operation="ingest", target="t")
