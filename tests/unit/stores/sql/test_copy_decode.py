"""COPY BINARY read back: what copy_binary wrote, NULLs and texts of any length anywhere, and what does not fit."""

from __future__ import annotations

import math
import struct
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from storekeeper.errors import StoreError, ValueFitError
from storekeeper.stores.sql.copy_binary import encode
from storekeeper.stores.sql.copy_blocks import Block
from storekeeper.stores.sql.copy_decode import Decoder, Field, Wire

_TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12)


def _decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    return st.integers(-most, most).map(lambda units: Decimal(f"{units}e-{scale}"))


#: PostgreSQL's type, how it is sent, Arrow's, values.
_KINDS: list[tuple[str, Wire, pa.DataType, st.SearchStrategy[object]]] = [
    ("timestamptz", "timestamp", pa.timestamp("us", tz="UTC"), st.datetimes(timezones=st.just(UTC))),
    ("date", "date", pa.date32(), st.dates()),
    ("smallint", "integer", pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    ("integer", "integer", pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    ("bigint", "integer", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    ("real", "float", pa.float32(), st.floats(width=32, allow_nan=False)),
    ("double precision", "float", pa.float64(), st.floats(allow_nan=False)),
    ("boolean", "bool", pa.bool_(), st.booleans()),
    ("text", "text", pa.string(), _TEXTS),
    ("varchar(4)", "text", pa.string(), st.sampled_from(["AAPL", "MSFT"])),
    *(
        (f"numeric({p},{s})", "numeric", pa.decimal128(p, s) if p <= 38 else pa.decimal256(p, s), _decimals(digits, s))
        for p, s in ((4, 0), (18, 6), (24, 8), (38, 18), (38, 0), (50, 10), (76, 38))
        for digits in (p, min(p, s + 4))
    ),
]


@st.composite
def _batches(draw: st.DrawFn) -> tuple[pa.RecordBatch, list[str], list[Wire]]:
    rows = draw(st.integers(0, 6))
    kinds = draw(st.lists(st.sampled_from(_KINDS), min_size=1, max_size=5))
    columns: list[Any] = [
        pa.array(
            draw(st.lists(values if draw(st.booleans()) else st.none() | values, min_size=rows, max_size=rows)), type_
        )
        for _, _, type_, values in kinds
    ]
    batch = pa.record_batch(columns, names=[f"c{place}" for place in range(len(kinds))])
    return batch, [kind[0] for kind in kinds], [kind[1] for kind in kinds]


def _block(batch: pa.RecordBatch, types: Sequence[str]) -> Block:
    rows = [encode(batch.slice(at, 1), types, header=False, trailer=False) for at in range(batch.num_rows)]
    return Block(bytearray(b"".join(rows)), list(map(len, rows)))


def _decoded(block: Block, *fields: Field) -> pa.RecordBatch:
    return Decoder(fields, operation="read", target="lab.ticks").decode(block)


@given(made=_batches())
def test_what_was_written_is_read(made: tuple[pa.RecordBatch, list[str], list[Wire]]) -> None:
    batch, types, wires = made
    fields = [
        Field(name, wire, type_)
        for name, wire, type_ in zip(batch.schema.names, wires, batch.schema.types, strict=True)
    ]
    decoded = _decoded(_block(batch, types), *fields)
    decoded.validate(full=True)
    assert decoded.equals(batch)


@given(
    st.lists(st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=20, max_value=10**18), max_size=9)
)
def test_a_numeric_becomes_the_nearest_float(values: list[Decimal | None]) -> None:
    batch = pa.record_batch([pa.array(values, pa.decimal256(60, 20))], names=["n"])
    decoded = _decoded(_block(batch, ["numeric(60,20)"]), Field("n", "numeric", pa.float64()))
    assert decoded.column(0).to_pylist() == [None if value is None else float(value) for value in values]


@given(st.lists(st.decimals(-9_999_999, 9_999_999, places=4), min_size=1, max_size=9))
def test_a_price_becomes_the_nearest_float(values: list[Decimal]) -> None:
    batch = pa.record_batch([pa.array(values, pa.decimal128(18, 6))], names=["n"])
    decoded = _decoded(_block(batch, ["numeric(18,6)"]), Field("n", "numeric", pa.float64()))
    assert decoded.column(0).to_pylist() == list(map(float, values))


def _numeric(digits: Sequence[int], weight: int, sign: int) -> Block:
    payload = struct.pack(f">hhHh{len(digits)}h", len(digits), weight, sign, 0, *digits)
    return _row(payload)


def _row(*payloads: bytes | None) -> Block:
    cells = [b"\xff\xff\xff\xff" if one is None else struct.pack(">i", len(one)) + one for one in payloads]
    row = struct.pack(">h", len(payloads)) + b"".join(cells)
    return Block(bytearray(row), [len(row)])


FLOAT = Field("n", "numeric", pa.float64())
PRICE = Field("n", "numeric", pa.decimal128(18, 6))


def test_numerics_that_are_no_numbers() -> None:
    assert math.isnan(_decoded(_numeric([], 0, 0xC000), FLOAT).column(0)[0].as_py())
    assert _decoded(_numeric([], 0, 0xD000), FLOAT).column(0)[0].as_py() == math.inf
    assert _decoded(_numeric([], 0, 0xF000), FLOAT).column(0)[0].as_py() == -math.inf
    with pytest.raises(ValueFitError, match=r"n.*NaN") as caught:
        _decoded(_numeric([], 0, 0xC000), PRICE)
    assert caught.value.hint == "read it without exact=True"


@pytest.mark.parametrize(
    ("digits", "weight", "value"),
    [([1], 100, 1e400), ([1], -100, 0.0), ([1], 70, 1e280), ([1], -70, 1e-280), ([9007, 1992, 5474, 993], 3, 2.0**53)],
)
def test_numerics_at_the_ends_of_floats(digits: list[int], weight: int, value: float) -> None:
    block = _numeric(digits, weight, 0)
    if value == math.inf:
        with pytest.raises(ValueFitError, match="too large"):
            _decoded(block, FLOAT)
    else:
        assert _decoded(block, FLOAT).column(0)[0].as_py() == value


@pytest.mark.parametrize(
    ("digits", "weight"), [([1], 3), ([1, 0, 0, 1], -1), ([1, 0, 0, 0, 0, 1], 3), ([1], 9), ([1] * 30, 10)]
)
def test_a_decimal_that_has_no_room_is_an_error(digits: list[int], weight: int) -> None:
    with pytest.raises(ValueFitError):
        _decoded(_numeric(digits, weight, 0), PRICE)


@pytest.mark.parametrize("sent", [2**63 - 1, -(2**63), 2**63 - 1 - 946_684_800_000_000 + 1])
def test_an_infinite_time_is_an_error(sent: int) -> None:
    with pytest.raises(ValueFitError, match="infinite"):
        _decoded(_row(struct.pack(">q", sent)), Field("n", "timestamp", pa.timestamp("us", tz="UTC")))


def test_an_infinite_date_is_an_error() -> None:
    with pytest.raises(ValueFitError, match="infinite"):
        _decoded(_row(b"\x7f\xff\xff\xff"), Field("n", "date", pa.date32()))


def test_moments_far_from_now() -> None:
    moments = [datetime(1, 1, 1, tzinfo=UTC), datetime(1677, 9, 21, tzinfo=UTC), datetime(2262, 4, 12, tzinfo=UTC)]
    batch = pa.record_batch(
        [pa.array(moments, pa.timestamp("us", tz="UTC")), pa.array([date.min] * 3)], names=["n", "d"]
    )
    fields = Field("n", "timestamp", pa.timestamp("us", tz="Asia/Tokyo")), Field("d", "date", pa.date32())
    decoded = _decoded(_block(batch, ["timestamptz", "date"]), *fields)
    assert [value.as_py().astimezone(UTC) for value in decoded.column(0)][1:] == moments[1:]
    assert decoded.column(0).cast(pa.int64()).equals(batch.column(0).cast(pa.int64()))
    assert decoded.column(1).equals(batch.column(1))


def test_bytes_that_are_no_text_are_an_error() -> None:
    with pytest.raises(ValueFitError, match="n"):
        _decoded(_row(b"\xff"), Field("n", "text", pa.string()))


def test_widths_are_the_servers() -> None:
    fields = Field("n", "integer", pa.int64()), Field("f", "float", pa.float64())
    assert _decoded(_row(b"\0\7", struct.pack(">f", 0.5)), *fields).to_pylist() == [{"n": 7, "f": 0.5}]
    with pytest.raises(ValueFitError, match="int16"):
        _decoded(_row(struct.pack(">q", 70_000)), Field("n", "integer", pa.int16()))


@pytest.mark.parametrize(
    "fields",
    [
        [Field("a", "integer", pa.int64())],
        [Field("a", "integer", pa.int64()), Field("b", "float", pa.float64()), Field("c", "text", pa.string())],
        [Field("a", "integer", pa.int64()), Field("b", "float", pa.float64())],
        [Field("a", "integer", pa.int64()), Field("b", "numeric", pa.float64())],
    ],
)
def test_rows_of_other_columns_are_an_error(fields: list[Field]) -> None:
    with pytest.raises((StoreError, ValueFitError)):
        _decoded(_row(struct.pack(">q", 1), b"text of 9"), *fields)


@pytest.mark.parametrize("rows", [1, 40])
def test_texts_of_many_lengths(rows: int) -> None:
    texts = [None if length % 7 == 3 else "é" * length for length in range(rows)] * 3
    batch = pa.record_batch([pa.array(texts, pa.string())], names=["n"])
    assert _decoded(_block(batch, ["text"]), Field("n", "text", pa.string())).equals(batch)


def test_no_rows_are_an_empty_batch() -> None:
    fields = [Field(wire, wire, type_) for _, wire, type_, _ in _KINDS]
    decoded = _decoded(Block(), *fields)
    assert (decoded.num_rows, decoded.schema.types) == (0, [field.type for field in fields])


@pytest.mark.parametrize("kind", [pa.float64(), pa.decimal256(76, 0)])
def test_one_very_long_number_among_many(kind: pa.DataType) -> None:
    """What is spread out for it is spread out for few rows."""
    short, long = _numeric([7], 0, 0), _numeric([1] + [0] * 2_000, 18, 0)
    rows, place = 20_000, 12_345
    block = Block(bytearray(), [])
    for row in range(rows):
        one = long if row == place else short
        block.rows += one.rows
        block.lengths += one.lengths
    tracemalloc.start()
    try:
        found = _decoded(block, Field("n", "numeric", kind)).column(0)
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()
    assert found[place] == pa.scalar(Decimal(10**72)).cast(kind)
    assert set(found.take(pa.array([row for row in range(rows) if row != place])).unique().to_pylist()) == {7}


def test_a_decimal_without_room_says_how_many_digits_there_are() -> None:
    with pytest.raises(ValueFitError, match="more than 18 digits"):
        _decoded(_numeric([1, 0, 0, 0, 0, 0, 0], 6, 0), PRICE)
