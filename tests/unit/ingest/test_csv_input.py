"""Csv files as they come: what is read of them, and what is said about those that cannot be."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from storekeeper.errors import InputFileError
from storekeeper.ingest.csv_input import BLOCK, open_csv
from storekeeper.ingest.csv_lines import line_of_row


def read(path: Path) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
    """The header, and all rows."""
    text, opened = open_csv(path, operation="ingest", target="invest.prices")
    rows: list[tuple[str | None, ...]] = []
    with text:
        for batch in opened.batches(opened.header):
            rows += list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return opened.header, rows


def written(folder: Path, content: bytes, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a,b\n1,2\n", [("1", "2")]),
        (b"a,b\n1,2", [("1", "2")]),
        (b"a,b\r\n1,2\n3,4\r\n", [("1", "2"), ("3", "4")]),
        (b"\xef\xbb\xbfa,b\n1,2\n", [("1", "2")]),
        (b'\xef\xbb\xbf"a","b"\n1,2\n', [("1", "2")]),
        (b"a,b\n1,\n,2\n", [("1", None), (None, "2")]),
        (b'a,b\n"",""\n', [("", "")]),
        (b'a,b\n"x,y","say ""hi"""\n', [("x,y", 'say "hi"')]),
        (b'a,b\n"x\ny",2\n3,4\n', [("x\ny", "2"), ("3", "4")]),
        (b"\n\na,b\n\n1,2\n\n\n3,4\n\n", [("1", "2"), ("3", "4")]),
        ("a,b\né,日本\n".encode(), [("é", "日本")]),
        (b"a,b\nNaN,null\n", [("NaN", "null")]),
        (b'a,b\n5" disk,2\n', [('5" disk', "2")]),
        (b"a,b\n", []),
        (b"a,b", []),
        (b"a,b\n\n\n", []),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_read(tmp_path: Path, content: bytes, rows: list[tuple[str | None, ...]], packed: bool) -> None:
    path = written(tmp_path, gzip.compress(content) if packed else content)
    assert read(path) == (("a", "b"), rows)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16"),
        (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 fields, the header 2: '1,2,3'"),
        (b'a,b\n"1\n1",2\n\n1\n', "line 5 has 1 fields, the header 2: '1'"),
        (b"a,b\n1,2\n1,\xff\n", "line 3 is not UTF-8"),
        (b"a,b\xff\n1,2\n", "line 1 is not UTF-8"),
        (b'a,b\n1,2\n1,"2\n3,4\n', "the quote that is opened on line 3 is not closed"),
        (b"a,b\n1," + b"x" * (2 * BLOCK) + b"\n", "line 2 is longer than"),
        (b"a" * (1 << 20) + b"\n", "its header"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 1000, mtime=0)[:-9], "the gzip stream is damaged or cut off"),
        (
            gzip.compress(b"a,b\n" + bytes(3_000_000).replace(b"\0", b"1,2\n"), mtime=0)[:-3000],
            "the gzip stream is damaged",
        ),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-8] + bytes(8), "the gzip stream is damaged or cut off"),
    ],
)
def test_what_cannot_be_read_says_why_and_where(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(InputFileError) as caught:
        read(written(tmp_path, content))
    assert says in str(caught.value)
    assert str(caught.value).startswith("ingest invest.prices: ")


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="No such file"):
        read(tmp_path / "nothing.csv")
    with pytest.raises(InputFileError, match="directory"):
        read(tmp_path)


def test_a_damaged_end_comes_after_the_rows_before_it(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(b"a,b\n" + b"1,2\n" * 3_000_000)[:-100])
    text, opened = open_csv(path, operation="ingest", target="t")
    batches = opened.batches(["a"])
    with text:
        assert next(batches).num_rows > 0
        with pytest.raises(InputFileError, match="damaged"):
            list(batches)


def test_rows_are_found_again_by_line(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(b'\xef\xbb\xbfa,b\r\n\r\n"1\r\n1",2\r\n3,4\r\n\r\n5,6'))
    assert [line_of_row(path, row) for row in range(4)] == [3, 5, 7, None]


def test_many_rows_come_in_order_and_in_pieces(tmp_path: Path) -> None:
    count = 1_500_000
    path = written(tmp_path, ("a,b\n" + "".join(f"{n},x\n" for n in range(count))).encode())
    text, opened = open_csv(path, operation="ingest", target="t")
    with text:
        batches = [batch.column(0).to_pylist() for batch in opened.batches(["a"])]
    assert len(batches) > 1
    assert [int(value or "-1") for batch in batches for value in batch] == list(range(count))


FIELDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(st.tuples(FIELDS, FIELDS, FIELDS), max_size=12),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    end=st.sampled_from(["\n", "\r\n"]),
    packed=st.booleans(),
)
@example(rows=[("\ufeff", "\n", '"')], quoting=csv.QUOTE_MINIMAL, end="\n", packed=False)
def test_what_pythons_csv_module_writes_is_read_back(
    tmp_path: Path, rows: list[tuple[str, str, str]], quoting: int, end: str, packed: bool
) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # a carriage return alone is not quoted by every version of the module
        rows = [(a.replace("\r", ""), b.replace("\r", ""), c.replace("\r", "")) for a, b, c in rows]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]  # one of its constants
    writer.writerow(("a", "b", "c"))
    writer.writerows(rows)
    content = buffer.getvalue().encode()
    _, found = read(written(tmp_path, gzip.compress(content) if packed else content))
    nothing = "" if quoting == csv.QUOTE_ALL else None
    assert found == [tuple(field or nothing for field in row) for row in rows]
