"""The bytes of COPY BINARY, as PostgreSQL's documentation describes them; the server's own opinion is in contracts/."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from storekeeper.errors import DeclarationError, ValueFitError
from storekeeper.stores.sql.copy_binary import HEADER, TRAILER, encode


def field(payload: bytes) -> bytes:
    return struct.pack(">i", len(payload)) + payload


NULL = struct.pack(">i", -1)


def test_a_row_is_its_field_count_and_its_fields() -> None:
    batch = pa.record_batch(
        [
            pa.array([datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
            pa.array(["é"]),
            pa.array([Decimal("12345.670000")], pa.decimal128(18, 6)),
            pa.array([None], pa.int64()),
        ],
        names=["time", "symbol", "price", "volume"],
    )
    numeric = struct.pack(">hhhh4h", 4, 1, 0, 6, 1, 2345, 6700, 0)  # digits, weight, sign, decimals, base-10000 digits
    row = struct.pack(">h", 4) + field(struct.pack(">q", 1_000_000)) + field("é".encode()) + field(numeric) + NULL
    encoded = encode(batch, ["timestamptz", "varchar(32)", "numeric(18,6)", "bigint"], header=True, trailer=True)
    assert encoded == HEADER + row + TRAILER


def test_header_and_trailer_stand_where_they_are_asked_for() -> None:
    batch = pa.record_batch([pa.array([True])], names=["flag"])
    row = struct.pack(">h", 1) + field(b"\x01")
    assert encode(batch, ["boolean"], header=False, trailer=False) == row
    assert encode(batch, ["boolean"], header=True, trailer=False) == HEADER + row
    assert encode(batch, ["boolean"], header=False, trailer=True) == row + TRAILER


@pytest.mark.parametrize(
    ("value", "digits", "weight", "sign"),
    [
        (Decimal(0), [0], -2, 0),
        (Decimal("-0.000001"), [100], -2, 0x4000),
        (Decimal("9999.999999"), [9999, 9999, 9900], 0, 0),
        (Decimal("-999999999999.999999"), [9999, 9999, 9999, 9999, 9900], 2, 0x4000),
    ],
)
def test_numerics_are_base_10000_digits_around_the_point(
    value: Decimal, digits: list[int], weight: int, sign: int
) -> None:
    batch = pa.record_batch([pa.array([value], pa.decimal128(18, 6))], names=["price"])
    payload = struct.pack(f">hhHh{len(digits)}h", len(digits), weight, sign, 6, *digits)
    assert encode(batch, ["numeric(18,6)"], header=False, trailer=False) == struct.pack(">h", 1) + field(payload)


def test_a_jsonb_has_its_version_before_it() -> None:
    batch = pa.record_batch([pa.array(["{}"])], names=["details"])
    assert encode(batch, ["jsonb"], header=False, trailer=False) == struct.pack(">h", 1) + field(b"\x01{}")


def test_types_and_columns_are_one_to_one() -> None:
    batch = pa.record_batch([pa.array([1])], names=["n"])
    with pytest.raises(ValueError, match="1 columns, 2 types"):
        encode(batch, ["bigint", "bigint"], header=True, trailer=True)


def test_a_type_that_copy_does_not_carry_is_named() -> None:
    batch = pa.record_batch([pa.array(["1 day"])], names=["length"])
    with pytest.raises(DeclarationError, match="interval"):
        encode(batch, ["interval"], header=True, trailer=True)


def test_an_integer_that_does_not_fit_is_not_wrapped() -> None:
    batch = pa.record_batch([pa.array([1, 2**31])], names=["n"])
    with pytest.raises(ValueFitError, match=r"row 1, column n: 2147483648 is too large for INTEGER"):
        encode(batch, ["integer"], header=True, trailer=True)
