# Generated from test_odd_rows_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Rows without a key, numbers of any width, keys of several integer types, measures of any name: read as asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP

from series_servers import SeriesServer
from storekeeper import Aggregate, Measure, days, hours, years
from storekeeper.catalog import Catalog, Domain, Hypertable
from storekeeper.errors import DeclarationError, InputError, ValueFitError
from storekeeper.span import Span
from storekeeper.stores.sql.arrow import pc
from storekeeper.stores.timescale.gaps import Gaps
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.engine import Engine
from timescale_series import moment, script
from timescale_stores import opened

_METADATA = sa.MetaData(schema="lab")
_TIME = sa.DateTime(timezone=True)

PLAIN = Hypertable(
    sa.Table(
        "plain",  # no key at all
        _METADATA,
        sa.Column("time", _TIME, nullable=False),
        sa.Column("price", sa.Numeric(18, 6)),
        sa.Column("weight", sa.Float),
        sa.Column("wide", sa.Numeric(100, 20)),
        sa.Column("long", sa.Numeric(60, 10)),
        sa.Column("seen", TIMESTAMP(precision=3, timezone=True)),
    ),
    time="time",
    chunk=days(1),
)


def _numbered(name: str, kind: type[sa.Integer]) -> Hypertable:
    table = sa.Table(
        name, _METADATA, sa.Column("time", _TIME, nullable=False), sa.Column("number", kind, nullable=False)
    )
    sa.Index(f"idx_{name}", table.c.number, table.c.time.desc(), unique=True)
    return Hypertable(table, time="time", chunk=days(1), natural_key=("number", "time"))


_coded = sa.Table(
    "coded",  # a key that the server pads
    _METADATA,
    sa.Column("time", _TIME, nullable=False),
    sa.Column("code", sa.CHAR(4), nullable=False),
    sa.Column("price", sa.Integer),
    sa.Index("idx_coded", "code", "time", unique=True),
)
CODED = Hypertable(_coded, time="time", chunk=days(1), natural_key=("code", "time"))

SMALL, LARGE = _numbered("small", sa.Integer), _numbered("large", sa.BigInteger)
CATALOG = Catalog((Domain("lab", hypertables=(PLAIN, SMALL, LARGE, CODED)),))
START, END = moment("2024-03-01 00:00"), moment("2024-03-01 04:00")
CLOSE = (Measure("close", Aggregate.LAST, ("price",)),)


@pytest.fixture
def store(series_server: SeriesServer, engine: Engine) -> Iterator[Timescale]:
    with series_server.database(script(engine, CATALOG.hypertables)) as url:
        with opened(url, engine, CATALOG) as store:
            for hypertable in CATALOG.hypertables:
                store.make_chunks_ahead(hypertable, as_of=START - timedelta(days=1), count=1)
            with psycopg.connect(url, autocommit=True) as psql:
                psql.execute(
                    "INSERT INTO lab.plain VALUES ('2024-02-29 22:00Z', 0.5, NULL, NULL, NULL, NULL), "
                    "('2024-03-01 01:00Z', 1.5, 0.1, 1e70, 1e40, '2024-03-01 00:00Z'), "
                    "('2024-03-01 03:00Z', 2.5, 0.2, 5, 2e40, '2024-03-01 00:00:00.001Z')"
                )
                psql.execute("INSERT INTO lab.small VALUES ('2024-03-01 00:00Z', 7)")
                psql.execute("INSERT INTO lab.large VALUES ('2024-03-01 00:00Z', 7), ('2024-03-01 00:00Z', 5000000000)")
            yield store


@pytest.mark.parametrize(
    ("gaps", "closes"),
    [
        ("none", [1.5, 2.5]),
        ("null", [None, 1.5, None, 2.5]),
        ("last", [0.5, 1.5, 1.5, 2.5]),
        ("linear", [None, 1.5, 2.0, 2.5]),
    ],
)
def test_gaps_of_a_series_without_a_key(store: Timescale, gaps: Gaps, closes: list[float | None]) -> None:
    bars = store.bars(PLAIN, every=hours(1), start=START, end=END, measures=CLOSE, gaps=gaps)
    assert bars.column("close").to_pylist() == closes
    nothing = store.bars(
        PLAIN, every=hours(1), start=END + timedelta(days=30), end=END + timedelta(days=31), measures=CLOSE, gaps=gaps
    )
    assert nothing.num_rows == 0
    with pytest.raises(InputError, match="no key"):
        store.bars(PLAIN, ["AAPL"], every=hours(1), start=START, end=END, measures=CLOSE)


def test_decimals_wider_than_an_arrow_decimal(store: Timescale) -> None:
    late = store.raw(PLAIN, start=moment("2024-03-01 02:00"), columns=["wide"], exact=True)
    assert late.column("wide").to_pylist() == [5]
    assert (store.raw(PLAIN, start=START, columns=["wide"])).column("wide").to_pylist() == [1e70, 5.0]
    with pytest.raises(ValueFitError, match="more than 76 digits") as caught:
        store.raw(PLAIN, columns=["wide"], exact=True)
    assert caught.value.hint == "read it without exact=True"


def test_a_sum_is_as_wide_as_what_it_sums(store: Timescale) -> None:
    measures = (Measure("long", Aggregate.SUM, ("long",)), Measure("weight", Aggregate.SUM, ("weight",)))
    bars = store.bars(PLAIN, every=days(1), start=START, end=END, measures=measures, exact=True)
    assert bars.column("long").to_pylist() == [Decimal("3e40")]
    assert bars.column("weight").to_pylist() == [Decimal("0.3")]


def test_an_instant_is_looked_for_whatever_the_precision_of_its_column(store: Timescale) -> None:
    here = datetime(2024, 3, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert (store.raw(PLAIN, where={"seen": [here]})).num_rows == 1
    assert (store.raw(PLAIN, where={"seen": [here.astimezone(UTC)]})).num_rows == 1


def test_keys_of_integers_of_another_width(store: Timescale) -> None:
    joined = store.as_of(LARGE, SMALL)
    assert joined.column("number").to_pylist() == [7, 5_000_000_000]
    assert pc.is_valid(joined.column("time_right")).to_pylist() == [True, False]
    assert (store.raw(SMALL, where={"number": [7, 5_000_000_000]})).num_rows == 1
    assert (store.latest(SMALL, [7, 5_000_000_000])).num_rows == 1


@pytest.mark.parametrize("tolerance", [years(5_000), days(999_999_999)])
def test_a_tolerance_that_reaches_before_all_times(store: Timescale, tolerance: Span) -> None:
    assert (store.as_of(SMALL, SMALL, tolerance=tolerance)).column("time_right").null_count == 0


@pytest.mark.parametrize("name", ["bid:size", "a%b", 'a"b; DROP', "storekeeper was", "was_at", "was_found"])
def test_a_measure_of_any_name(store: Timescale, name: str) -> None:
    bars = store.bars(
        PLAIN, every=days(1), start=START, end=END, gaps="last", measures=[Measure(name, Aggregate.LAST, ("price",))]
    )
    assert bars.column(name).to_pylist() == [2.5]


def test_keys_that_are_one_to_the_server_alone(store: Timescale) -> None:
    rows = [{"time": START, "code": code, "price": price} for price, code in enumerate(("a", "b", "a ", "b"))]
    done = store.upsert("lab.coded", rows)
    assert (done.rows, done.inserted, done.skipped) == (4, 2, 2)
    assert (store.raw("lab.coded", columns=["price"]))["price"].to_pylist() == [2, 3]


def test_a_type_that_cannot_be_written_is_named_with_its_column(store: Timescale) -> None:
    with pytest.raises(DeclarationError, match=r"append lab\.plain: column wide: NUMERIC\(100, 20\) has more than"):
        store.append("lab.plain", [{"time": START}])
