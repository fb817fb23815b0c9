"""What can be asked, and what is told to who asks for what is not there: names, comparisons, ranges, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from storekeeper.analytics.asking import Request, check, default_range
from storekeeper.analytics.comparisons import Comparison, mongo_filter, parse, sql_condition
from storekeeper.analytics.datasets import Documents, Relation, Series, find, near
from storekeeper.analytics.export import Target, target_of
from storekeeper.analytics.statements import select
from storekeeper.catalog import Catalog, Range
from storekeeper.domains import CATALOG
from storekeeper.errors import ColumnError, DeclarationError, InputError, ValueFitError
from storekeeper.span import days, hours, minutes, months
from storekeeper.timescale.calendars import Calendar
from storekeeper.timescale.levels import levels
from storekeeper.timescale.routing import Route
from storekeeper.timescale.shapes import shape_of

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
OPERATORS = ("=", "!=", "<", "<=", ">", ">=")


def table(name: str) -> Relation:
    found = find(CATALOG, name)
    assert isinstance(found, Relation)
    return found


def logs() -> Documents:
    found = find(CATALOG, "invest.logs")
    assert isinstance(found, Documents)
    return found


@pytest.mark.parametrize(
    ("name", "kind", "time", "key"),
    [
        ("invest.intraday_prices", "hypertable", "time", "symbol"),
        ("invest.market_indices", "hypertable", "time", "index_symbol"),
        ("invest.stock_prices_5min", "rollup", "bucket", "symbol"),
        ("invest.users", "table", "created_at", None),
        ("invest.portfolio_assets", "table", "created_at", "symbol"),
        ("invest.logs", "collection", "timestamp", None),
    ],
)
def test_what_a_name_stands_for(name: str, kind: str, time: str, key: str | None) -> None:
    source = find(CATALOG, name)
    assert (source.name, source.kind, source.time, source.key) == (name, kind, time, key)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("intraday_prices", "did you mean invest.intraday_prices"),
        ("invest.intraday_price", "did you mean invest.intraday_prices"),
        ("nonsense", "the catalogue has deals."),
    ],
)
def test_a_name_that_is_none(name: str, said: str) -> None:
    with pytest.raises(DeclarationError, match="no such dataset") as caught:
        find(CATALOG, name)
    assert said in caught.value.hint


def test_the_time_column_of_a_table() -> None:
    assert find(CATALOG, "invest.sessions", time_column="expires_at").time == "expires_at"
    with pytest.raises(ColumnError, match="email is no time of it") as caught:
        find(CATALOG, "invest.users", time_column="email")
    assert "created_at" in caught.value.hint
    with pytest.raises(ColumnError, match="the time of a hypertable is its time"):
        find(CATALOG, "invest.intraday_prices", time_column="time")
    assert near("prize", ["time", "price"], what="it has") == "did you mean price?"
    assert near("x", [], what="it has") == "it has none"


def test_what_identifies_a_person_is_read_only_where_it_is_asked_for() -> None:
    users = find(CATALOG, "invest.users")
    assert {"email", "phone", "password_hash", "password_reset_token"} <= set(users.hidden)
    assert {"id", "subscription_tier", "password_reset_expires"}.isdisjoint(users.hidden)
    assert find(CATALOG, "invest.users", time_column="last_login").hidden == users.hidden
    assert find(CATALOG, "invest.portfolios").hidden == find(CATALOG, "invest.intraday_prices").hidden == ()


@given(st.from_regex(r"[a-z_.]{1,10}", fullmatch=True), st.sampled_from(OPERATORS), st.text(min_size=1))
def test_comparisons_are_read_as_they_are_written(column: str, operator: Any, value: str) -> None:
    if value.strip() and value[0] not in "=<>":
        assert parse(f"{column}{operator}{value}") == Comparison(column, operator, value)
        assert parse(f" {column} {operator} {value.strip()} ") == Comparison(column, operator, value.strip())


def test_a_comparison_without_a_value() -> None:
    assert parse("deleted_at=") == Comparison("deleted_at", "=", "")
    assert str(parse("a!=")) == "a!="
    for text in ("price", "=5", "price>", "", ">5"):
        with pytest.raises(InputError, match=r"is no column=value") as caught:
            parse(text)
        assert "--where level=error" in caught.value.hint


@given(st.lists(st.tuples(st.sampled_from(("email", "preferences", "created_at")), st.text(min_size=1)), min_size=1))
def test_no_value_stands_in_a_statement(pairs: list[tuple[str, str]]) -> None:
    marked = [Comparison(column, "=", f"mark-{value}-mark") for column, value in pairs]
    statement, _ = select(table("invest.users"), ["email"], where=marked, limit=1)
    assert "mark-" not in statement.sql
    assert [v for v in statement.parameters.values() if isinstance(v, str)] == [
        one.value for column in dict.fromkeys(c for c, _ in pairs) for one in marked if one.column == column
    ]


def test_comparisons_in_sql() -> None:
    users = table("invest.users").table
    condition = sql_condition(
        users,
        [parse("email=a"), parse("email=b"), parse("phone="), parse("deleted_at!="), parse("created_at>=2024-01-01")],
    )
    assert condition.sql == (
        "(email = CAST(CAST(:where0_0 AS text) AS text) OR email = CAST(CAST(:where0_1 AS text) AS text))"
        " AND (phone IS NULL OR phone = '')"
        " AND (deleted_at IS NULL) IS NOT TRUE"
        " AND created_at >= CAST(CAST(:where3 AS text) AS TIMESTAMP WITH TIME ZONE)"
    )
    with pytest.raises(InputError, match="< is not for lists and objects"):
        sql_condition(users, [parse("preferences<1")])


def test_comparisons_of_documents_are_typed_by_the_model() -> None:
    user = UUID(int=7)
    assert mongo_filter(logs(), [parse(f"userId={user}")]) == {"userId": {"$in": [user]}}
    assert mongo_filter(logs(), [parse("level=warn"), parse("level=error")]) == {"level": {"$in": ["warn", "error"]}}
    assert mongo_filter(logs(), [parse("metadata.code=7")]) == {"metadata.code": {"$in": ["7", 7]}}
    assert mongo_filter(logs(), [parse("metadata.code>7.5")]) == {"metadata.code": {"$gt": 7.5}}
    assert mongo_filter(logs(), [parse("userId="), parse("service!=api")]) == {
        "$and": [{"userId": {"$in": [None, ""]}}, {"service": {"$nin": ["api"]}}]
    }
    moment = mongo_filter(logs(), [parse("timestamp>=2024-05-01T12:00")])
    assert moment == {"timestamp": {"$gte": NOON}}
    with pytest.raises(ValueFitError, match="'fatal' is none of its values"):
        mongo_filter(logs(), [parse("level=fatal")])
    with pytest.raises(ColumnError, match="no column 'levle'") as caught:
        mongo_filter(logs(), [parse("levle=warn")])
    assert "did you mean level?" in caught.value.hint


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request("invest.users", every=minutes(5)), "is a table, and bars are of hypertables"),
        (Request("invest.stock_prices_5min", every=minutes(5)), "is a rollup"),
        (Request("invest.logs", keys=["x"]), "has no symbol"),
        (Request("invest.users", where=[parse("e_mail=x")]), "there is no column 'e_mail'"),
        (Request("invest.intraday_prices", every=minutes(5), where=[parse("price>1")]), "chosen by symbol alone"),
    ],
)
def test_what_cannot_be_asked(request_: Request, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        check(find(CATALOG, request_.dataset), request_)
    assert caught.value.hint


def test_a_range_that_is_none() -> None:
    with pytest.raises(InputError, match="is no range"):
        Request("invest.users", NOON, NOON)


def test_the_range_that_nobody_gave() -> None:
    asked = Request("invest.intraday_prices")
    ranged = default_range(NOON, asked)
    assert ranged.start is not None
    assert ranged.end is not None
    assert ranged.end - ranged.start == timedelta(days=1)
    assert ranged.start < NOON < ranged.end
    assert default_range(None, asked) == asked
    given_ = Request("invest.intraday_prices", start=NOON)
    assert default_range(NOON, given_) == given_
    bars = default_range(NOON, Request("invest.intraday_prices", every=days(1), limit=10))
    assert bars.start == datetime(2024, 4, 22, tzinfo=UTC)
    monthly = default_range(NOON, Request("invest.intraday_prices", every=months(1), limit=3))
    assert monthly.start == datetime(2024, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "given_", "format_", "packing"),
    [
        ("x.csv", None, "csv", None),
        ("x.CSV", None, "csv", None),
        ("a.b.csv.gz", None, "csv", "gzip"),
        ("x.ndjson.zst", None, "ndjson", "zstd"),
        ("x.parquet", None, "parquet", None),
        ("x.dat", "csv", "csv", None),
        ("x.gz", "ndjson", "ndjson", "gzip"),
    ],
)
def test_a_file_is_what_it_ends_in(name: str, given_: str | None, format_: Any, packing: Any) -> None:
    assert target_of(Path(name), given_) == Target(Path(name), format_, packing)


@pytest.mark.parametrize(
    ("name", "said"),
    [("x.xls", ".xls is no known"), ("x", "a name without an ending"), ("x.parquet.gz", "not packed a second time")],
)
def test_a_file_of_no_known_kind(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        target_of(Path(name))


def test_a_window_of_bars_is_cut_where_another_table_answers() -> None:
    (_, five, *_) = levels(CATALOG.hypertable("invest.intraday_prices"))
    hour = timedelta(hours=1)
    window = Range(NOON, NOON + 10 * hour)
    stale = (Range(NOON + 2 * hour, NOON + 3 * hour), Range(NOON + 9 * hour, NOON + 20 * hour))
    route = Route(five, Calendar(minutes(15)), shape_of(five.hypertable), window, stale)
    parts = list(route.parts())
    assert [(p.start, p.end, p.source) for p in parts] == [
        (NOON, NOON + 2 * hour, "invest.stock_prices_5min"),
        (NOON + 2 * hour, NOON + 3 * hour, "invest.intraday_prices"),
        (NOON + 3 * hour, NOON + 9 * hour, "invest.stock_prices_5min"),
        (NOON + 9 * hour, NOON + 10 * hour, "invest.intraday_prices"),
    ]
    dropped = list(replace(route, floor=NOON + 5 * hour).parts())
    assert [p.source for p in dropped] == ["invest.stock_prices_5min", "invest.intraday_prices"]


def test_names_of_another_catalogue() -> None:
    assert isinstance(find(CATALOG, "invest.stock_prices"), Series)
    with pytest.raises(DeclarationError) as caught:
        find(Catalog(()), "invest.users")
    assert caught.value.hint == "the catalogue has none"


def test_hints_are_for_callers_from_python_too() -> None:
    prices, users = find(CATALOG, "invest.intraday_prices"), find(CATALOG, "invest.users")
    moment = datetime(2024, 5, 1, tzinfo=UTC)
    tried: list[tuple[Callable[[], object], str, str]] = [
        (lambda: Request(prices.name, moment, moment), "start", "--from"),
        (lambda: Request(prices.name, gaps="last"), "every=hours(1)", "--bars 1h"),
        (lambda: check(users, Request(users.name, every=hours(1))), "`every`", "--bars"),
        (lambda: check(users, Request(users.name, keys=("a",))), "`where`", "--where"),
        (lambda: check(prices, Request(prices.name, every=hours(1), where=[parse("bid=1")])), "`every`", "--bars"),
        (lambda: find(CATALOG, prices.name, time_column="time"), "time_column", "--time-column"),
        (lambda: parse("price"), "like level=error", "--where level=error"),
    ]
    for call, parameter, option in tried:
        with pytest.raises((InputError, ColumnError)) as caught:
            call()
        assert parameter in caught.value.hint, caught.value
        assert option in caught.value.hint, caught.value
