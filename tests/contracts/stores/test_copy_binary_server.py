"""What encode() writes, a real PostgreSQL reads back as the same values, whatever they are."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from psycopg import sql

from storekeeper.errors import ValueFitError
from storekeeper.stores.sql.copy_binary import encode

Connection = psycopg.Connection[tuple[Any, ...]]

#: (precision, scale)
SIZES = [(18, 6), (24, 8), (15, 2), (5, 4), (38, 0), (38, 38), (38, 19), (76, 40), (4, 0), (1, 1)]
#: The database is empty for each test; each example makes a table of its own.
EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def connection(postgres_url: str) -> Iterator[Connection]:
    with psycopg.connect(postgres_url, autocommit=True, prepare_threshold=None) as opened:
        opened.execute("SET TIME ZONE 'UTC'")
        yield opened


def copied(connection: Connection, columns: Mapping[str, tuple[str, Any]]) -> list[tuple[Any, ...]]:
    """The rows as the server holds them after one COPY of one batch, in the order in which they were sent."""
    types = [type_ for type_, _ in columns.values()]
    batch = pa.record_batch([array for _, array in columns.values()], names=list(columns))
    return copied_pieces(connection, list(columns), types, [encode(batch, types, header=True, trailer=True)])


def copied_pieces(
    connection: Connection, names: Sequence[str], types: Sequence[str], pieces: Sequence[bytes]
) -> list[tuple[Any, ...]]:
    connection.execute("DROP TABLE IF EXISTS target")
    connection.execute(
        sql.SQL("CREATE TABLE target (row_number bigint GENERATED ALWAYS AS IDENTITY, {})").format(
            sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_))
                for name, type_ in zip(names, types, strict=True)
            )
        )
    )
    listed = sql.SQL(", ").join(map(sql.Identifier, names))
    with connection.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY target ({}) FROM STDIN (FORMAT binary)").format(listed)) as copy:
            for piece in pieces:
                copy.write(piece)
        return cursor.execute(sql.SQL("SELECT {} FROM target ORDER BY row_number").format(listed)).fetchall()


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**precision - 1
    one = min(10**scale, most)
    special = st.sampled_from([0, 1, -1, most, -most, one, -one, min(10**4, most), min(9999, most)])
    return st.one_of(special, st.integers(-most, most)).map(lambda units: Decimal(f"{units}e-{scale}"))


@EXAMPLES
@given(
    data=st.data(),
    size=st.sampled_from(SIZES),
)
def test_decimals_are_exact(connection: Connection, data: st.DataObject, size: tuple[int, int]) -> None:
    precision, scale = size
    values = data.draw(st.lists(st.none() | decimals(precision, scale), min_size=1, max_size=40))
    arrow = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    rows = copied(connection, {"value": (f"numeric({precision},{scale})", pa.array(values, arrow))})
    assert [row[0] for row in rows] == values
    assert {row[0].as_tuple().exponent for row in rows if row[0] is not None} <= {-scale}


@EXAMPLES
@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.datetimes(timezones=st.just(UTC)),
            st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=70),
            st.none() | decimals(18, 6),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.integers(-(2**31), 2**31 - 1),
            st.none() | st.integers(-(2**15), 2**15 - 1),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.booleans(),
            st.none() | st.uuids(),
            st.none() | st.dictionaries(st.sampled_from("abé"), st.integers(-5, 5) | st.sampled_from(["", "é\n"])),
            st.none() | st.dates(),
            st.none() | st.binary(max_size=9),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_every_type_round_trips(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    columns = list(zip(*rows, strict=True))
    encoded = {
        "moment": ("timestamptz", pa.array(columns[0], pa.timestamp("us", tz="UTC"))),
        "text": ("text", pa.array(columns[1], pa.string())),
        "price": ("numeric(18,6)", pa.array(columns[2], pa.decimal128(18, 6))),
        "big": ("bigint", pa.array(columns[3], pa.int64())),
        "whole": ("integer", pa.array(columns[4], pa.int32())),
        "small": ("smallint", pa.array(columns[5], pa.int16())),
        "float": ("double precision", pa.array(columns[6], pa.float64())),
        "flag": ("boolean", pa.array(columns[7], pa.bool_())),
        "id": ("uuid", pa.array([v and v.bytes for v in columns[8]], pa.binary(16))),
        "document": ("jsonb", pa.array([None if v is None else json.dumps(v) for v in columns[9]], pa.string())),
        "day": ("date", pa.array(columns[10], pa.date32())),
        "raw": ("bytea", pa.array(columns[11], pa.binary())),
    }
    assert copied(connection, encoded) == rows


def test_the_ends_of_time_and_of_the_year(connection: Connection) -> None:
    moments = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1677, 9, 21, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2000, 1, 1, tzinfo=UTC),
        datetime(2016, 2, 29, 23, 59, 59, tzinfo=UTC),
        datetime(2262, 4, 12, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]
    days = [moment.date() for moment in moments]
    rows = copied(
        connection,
        {"moment": ("timestamptz", pa.array(moments, pa.timestamp("us", tz="UTC"))), "day": ("date", pa.array(days))},
    )
    assert rows == list(zip(moments, days, strict=True))


def test_many_rows_in_several_pieces_keep_their_order(connection: Connection) -> None:
    count = 70_001
    symbols = [None if number % 97 == 0 else "é" * (number % 61) for number in range(count)]  # more lengths than groups
    prices = [None if number % 89 == 0 else Decimal(number * number - 10**6).scaleb(-6) for number in range(count)]
    batch = pa.record_batch(
        [pa.array(symbols, pa.string()), pa.array(prices, pa.decimal128(18, 6))], names=["symbol", "price"]
    )
    types = ["varchar(64)", "numeric(18,6)"]
    pieces = [
        encode(batch.slice(0, 3), types, header=True, trailer=False),
        encode(batch.slice(3, 0), types, header=False, trailer=False),
        encode(batch.slice(3), types, header=False, trailer=True),
    ]
    assert copied_pieces(connection, batch.schema.names, types, pieces) == list(zip(symbols, prices, strict=True))


def test_slices_of_arrays_are_cut_where_they_begin(connection: Connection) -> None:
    number = pa.array([9, None, 1, None, 2, 9])
    columns: dict[str, tuple[str, Any]] = {
        "flag": ("boolean", pa.array([True, False, True, None, False, True])),
        "id": ("uuid", pa.array([bytes([n] * 16) for n in range(6)], pa.binary(16))),
        "number": ("bigint", number),
        "price": ("numeric(18,6)", number.cast(pa.decimal128(21, 2)).cast(pa.decimal128(18, 6))),
        "text": ("text", number.cast(pa.string())),
    }
    sliced = {name: (type_, array.slice(2, 3)) for name, (type_, array) in columns.items()}
    assert copied(connection, sliced) == [
        (True, uuid.UUID(bytes=bytes([2] * 16)), 1, Decimal(1), "1"),
        (None, uuid.UUID(bytes=bytes([3] * 16)), None, None, None),
        (False, uuid.UUID(bytes=bytes([4] * 16)), 2, Decimal(2), "2"),
    ]


def test_what_is_not_in_the_kinds_type_is_converted_exactly(connection: Connection) -> None:
    rows = copied(
        connection,
        {
            "of_float": ("numeric(18,6)", pa.array([1.38727, -0.1, None, 123456789012.25])),
            "of_int": ("numeric(15,2)", pa.array([1, -2, None, 10**12])),
            "of_text": ("numeric(15,2)", pa.array(["1.5", "-2e3", None, "0"])),
            "id": ("uuid", pa.array(["00000000-0000-0000-0000-00000000000a"] * 4)),
            "moment": ("timestamptz", pa.array(["2014-05-01T00:00:00.1+02:00"] * 4)),
            "volume": ("bigint", pa.array([877000000.0, 0.0, None, -1.0])),
        },
    )
    assert [row[0] for row in rows] == [Decimal("1.387270"), Decimal("-0.100000"), None, Decimal("123456789012.250000")]
    assert [row[1] for row in rows] == [Decimal("1.00"), Decimal("-2.00"), None, Decimal("1000000000000.00")]
    assert [row[2] for row in rows] == [Decimal("1.50"), Decimal("-2000.00"), None, Decimal("0.00")]
    assert rows[0][3:5] == (uuid.UUID(int=10), datetime(2014, 4, 30, 22, 0, 0, 100_000, tzinfo=UTC))
    assert [row[5] for row in rows] == [877_000_000, 0, None, -1]


def test_a_batch_without_rows_or_only_of_nulls(connection: Connection) -> None:
    assert copied(connection, {"price": ("numeric(18,6)", pa.array([], pa.decimal128(18, 6)))}) == []
    nulls = {"price": ("numeric(18,6)", pa.nulls(2)), "text": ("text", pa.nulls(2)), "day": ("date", pa.nulls(2))}
    assert copied(connection, nulls) == [(None, None, None)] * 2


def test_nothing_is_rounded_on_the_way() -> None:
    batch = pa.record_batch([pa.array([1.0, 0.1 + 0.2])], names=["price"])
    with pytest.raises(ValueFitError, match=r"row 1, column price: .*more decimals") as caught:
        encode(batch, ["numeric(18,6)"], header=True, trailer=True)
    assert (caught.value.row, caught.value.column) == (1, "price")
