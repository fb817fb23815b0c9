"""Parquet files: their own types, places, damage."""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from hypothesis import given, settings, strategies as st

from packed import PACKINGS, Packing, packed, written
from storekeeper.errors import InputFileError
from storekeeper.ingest.readers.parquet_input import ParquetInput
from storekeeper.ingest.readers.piece import PIECE_ROWS
from storekeeper.ingest.readers.text_input import Stdin, TextInput


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)  # type: ignore[arg-type]  # whatever it takes
    return sink.getvalue()


def opened(content: bytes) -> ParquetInput:
    return ParquetInput(TextInput(Stdin(io.BytesIO(content)), operation="ingest", target="t"))


def table(count: int) -> pa.Table:
    return pa.table({"a": pa.array(range(count), pa.int64()), "b": [f"row {number}" for number in range(count)]})


TYPED = pa.table(
    {
        "price": pa.array([Decimal("1.10"), None], pa.decimal128(38, 10)),
        "time": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 2, pa.timestamp("us", "UTC")),
        "size": pa.array([None, 2**63 - 1], pa.int64()),
        "raw": pa.array([b"\x00\xff", None], pa.binary()),
        "at": pa.array(
            [{"x": {"y": 1}, "z": "é"}, None],
            pa.struct([pa.field("x", pa.struct([pa.field("y", pa.int32())])), pa.field("z", pa.string())]),
        ),
        "at.z": ["literal", None],
        "no.struct": [7, 8],
    }
)


@pytest.mark.parametrize("packing", PACKINGS)
def test_columns_keep_their_types(tmp_path: Path, packing: Packing) -> None:
    content = parquet(TYPED)
    path = written(tmp_path, content, "rows.parquet", packing)
    with closing(ParquetInput(TextInput(path, operation="ingest", target="t"))) as file:
        assert file.header == tuple(TYPED.column_names)
        assert file.unit == "row"
        [piece] = file.pieces(["time", "price", "size", "raw", "at", "at.z"])
        assert file.digest == hashlib.sha256(content).digest()
        assert file.position == file.size == path.stat().st_size
    assert pa.Table.from_batches([piece.batch]) == TYPED.select(["time", "price", "size", "raw", "at", "at.z"])
    assert piece.places.tolist() == [1, 2]


def test_a_path_leads_to_a_field_of_structs_unless_a_column_has_that_name() -> None:
    with closing(opened(parquet(TYPED))) as file:
        assert all(file.has(name) for name in ("at", "at.x", "at.x.y", "at.z", "no.struct"))
        assert not any(file.has(name) for name in ("size.x", "at.q", "at.x.y.z", "no", "no.q", "q", ""))
        [piece] = file.pieces(["at.x.y", "at.z", "at.x", "no.struct"])
    assert piece.batch.to_pydict() == {
        "at.x.y": [1, None],
        "at.z": ["literal", None],
        "at.x": [{"y": 1}, None],
        "no.struct": [7, 8],
    }
    assert piece.batch.schema.field("at.x.y").type == pa.int32()


def test_a_row_reads_as_json_of_the_columns_asked_for() -> None:
    with closing(opened(parquet(TYPED))) as file:
        [piece] = file.pieces(["price", "time", "raw", "at"])
    assert json.loads(piece.text(0)) == {
        "price": "1.1000000000",
        "time": "2024-01-01 00:00:00+00:00",
        "raw": "00ff",
        "at": {"x": {"y": 1}, "z": "é"},
    }
    assert json.loads(piece.text(1))["at"] is None


@settings(deadline=None, max_examples=50)
@given(count=st.integers(0, 300), group=st.integers(1, 100), wanted=st.sampled_from([["a"], ["b", "a"], []]))
def test_rows_are_numbered_across_row_groups(count: int, group: int, wanted: list[str]) -> None:
    with closing(opened(parquet(table(count), row_group_size=group))) as file:
        pieces = list(file.pieces(wanted))
    assert [place for piece in pieces for place in piece.places.tolist()] == list(range(1, count + 1))
    assert all(piece.batch.num_rows == len(piece.places) > 0 for piece in pieces)
    for name in wanted:
        values = [value for piece in pieces for value in piece.batch.column(name).to_pylist()]
        assert values == table(count).column(name).to_pylist()


def test_a_piece_is_of_so_many_rows_or_fewer_where_they_are_long() -> None:
    with closing(opened(parquet(table(2 * PIECE_ROWS + 1)))) as file:
        assert [piece.batch.num_rows for piece in file.pieces(["a"])] == [PIECE_ROWS, PIECE_ROWS, 1]
    long = pa.table({"a": [f"{number:05}" * 100_000 for number in range(300)]})
    with closing(opened(parquet(long, use_dictionary=False))) as file:
        sizes = [piece.batch.nbytes for piece in file.pieces(["a"])]
    assert len(sizes) > 1
    assert max(sizes) < 80 << 20
    assert sum(sizes) >= 300 * 500_000


def encrypted(*, footer: bool) -> bytes:
    class Keys(pe.KmsClient):
        def __init__(self, config: object) -> None:
            super().__init__()

        def wrap_key(self, key: bytes, name: str) -> str:
            return key.hex()

        def unwrap_key(self, key: str, name: str) -> str:
            raise NotImplementedError("nothing is decrypted here")

    keys = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["a"]}, plaintext_footer=not footer)
    properties = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), keys)
    return parquet(table(10), encryption_properties=properties)


PLAIN = parquet(table(1000))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no parquet file"),
        (b"a,b\n1,2\n", "is no parquet file"),
        (b"PAR1", "is damaged, or cannot be read as parquet"),
        (b"PAR1PAR1", "is damaged, or cannot be read as parquet"),
        (PLAIN[:-1], "is damaged, or cannot be read as parquet"),
        (PLAIN[: len(PLAIN) // 2], "is damaged, or cannot be read as parquet"),
        (PLAIN[:-8] + b"\xff\xff\xff\x7fPAR1", "is damaged, or cannot be read as parquet"),
        (PLAIN[:1000] + b"\xff" * 300 + PLAIN[1300:], "is damaged, or cannot be read as parquet"),
        (packed(PLAIN, "gz")[:-9], "damaged or cut off"),
        (encrypted(footer=True), "is encrypted"),
        (encrypted(footer=False), "cannot be read as parquet: .*ecrypt"),
    ],
)
def test_what_cannot_be_read_is_an_error(content: bytes, says: str) -> None:
    with pytest.raises(InputFileError, match=says):
        with closing(opened(content)) as file:
            list(file.pieces(file.header))


@settings(deadline=None, max_examples=200)
@given(cut=st.integers(0, len(PLAIN) - 1))
def test_a_file_that_is_cut_off_anywhere_is_an_error(cut: int) -> None:
    with pytest.raises(InputFileError):
        opened(PLAIN[:cut])


def test_the_digest_may_be_asked_for_at_any_time() -> None:
    with closing(opened(PLAIN)) as file:
        before = file.digest
        pieces = file.pieces(["a"])
        next(pieces)
        assert file.digest == before == hashlib.sha256(PLAIN).digest()
        assert not list(pieces)
