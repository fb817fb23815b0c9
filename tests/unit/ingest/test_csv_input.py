"""Csv files as they come: what is read of them, and what is said about those that cannot be."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings, strategies as st

from packed import PACKINGS, Packing, packed, written
from storekeeper.errors import InputFileError
from storekeeper.ingest.readers.csv_input import BLOCK, LONGEST, CsvInput
from storekeeper.ingest.readers.piece import PIECE_ROWS, Reject
from storekeeper.ingest.readers.text_input import Stdin, TextInput

Row = tuple[str | None, ...]


def opened(content: bytes, block: int = BLOCK) -> CsvInput:
    return CsvInput(TextInput(Stdin(io.BytesIO(content)), operation="ingest", target="invest.prices"), block=block)


def rows_of(content: bytes) -> list[Row]:
    """The rows of a file without rejects."""
    with closing(opened(content)) as file:
        pieces = list(file.pieces(file.header))
    assert not any(piece.rejects for piece in pieces)
    return [tuple(row.values()) for piece in pieces for row in piece.batch.to_pylist()]


def all_of(file: CsvInput) -> tuple[list[tuple[int, Row, str]], list[Reject]]:
    """(line, fields, text) of every row, and the rejects."""
    rows: list[tuple[int, Row, str]] = []
    rejects: list[Reject] = []
    for piece in file.pieces(file.header):
        columns = [column.to_pylist() for column in piece.batch.columns]
        fields = list(zip(*columns, strict=True))
        assert len(piece.places) == piece.batch.num_rows == len(fields)
        rows += [(int(piece.places[row]), fields[row], piece.text(row)) for row in range(len(fields))]
        rejects += piece.rejects
    return rows, rejects


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a,b\n1,2\n", [("1", "2")]),
        (b"a,b\n1,2", [("1", "2")]),
        (b"a,b\r\n1,2\n3,4\r5,6\r\n", [("1", "2"), ("3", "4"), ("5", "6")]),
        (b"\xef\xbb\xbfa,b\n1,2\n", [("1", "2")]),
        (b'\xef\xbb\xbf"a","b"\n1,2\n', [("1", "2")]),
        (b"a,b\n\xef\xbb\xbf1,2\n", [("\ufeff1", "2")]),
        (b"a,b\n1,\n,2\n", [("1", None), (None, "2")]),
        (b'a,b\n"",""\n', [("", "")]),
        (b'a,b\n"x,y","say ""hi"""\n', [("x,y", 'say "hi"')]),
        (b'a,b\n"x\ny",2\n3,4\n', [("x\ny", "2"), ("3", "4")]),
        (b'a,b\n"x\ry","\r\n"\n', [("x\ry", "\r\n")]),
        (b"\n\na,b\n\n1,2\n\n\n3,4\n\n", [("1", "2"), ("3", "4")]),
        ("a,b\né,日本\n".encode(), [("é", "日本")]),
        (b"a,b\nNaN,null\n", [("NaN", "null")]),
        (b'a,b\n5" disk,2\n', [('5" disk', "2")]),
        (b'a,b\n"5" disk,"2"x"\n', [("5 disk", '2x"')]),
        (b"a,b\n1\0,2\n", [("1\0", "2")]),
        (b"a,b\n", []),
        (b"a,b", []),
        (b"a,b\n\n\n", []),
    ],
)
@pytest.mark.parametrize("packing", PACKINGS)
def test_what_is_read(content: bytes, rows: list[Row], packing: Packing) -> None:
    with closing(opened(packed(content, packing))) as file:
        assert file.header == ("a", "b")
    assert rows_of(packed(content, packing)) == rows


def test_one_column_has_no_blank_rows_but_empty_texts() -> None:
    assert rows_of(b'"a"\n\n""\n \n"\n"') == [("",), (" ",), ("\n",)]


def test_a_header_may_be_wide_name_a_column_twice_and_hold_what_is_quoted() -> None:
    with closing(opened(b'a,"b,""c""\n",,a\n')) as file:
        assert file.header == ("a", 'b,"c"\n', "", "a")
    wide = [f"column{number}" for number in range(3000)]
    with closing(opened(f"{','.join(wide)}\n{','.join('x' * 3000)}\n".encode())) as file:
        assert list(file.header) == wide
        [piece] = file.pieces(["column2999", "column7"])
    assert piece.batch.to_pydict() == {"column2999": ["x"], "column7": ["x"]}


def test_only_the_columns_asked_for_are_read_in_their_order_or_none() -> None:
    with closing(opened(b"a,b,c\n1,2,3\n4,5,6\n")) as file:
        [piece] = file.pieces(["c", "a"])
    assert piece.batch.to_pydict() == {"c": ["3", "6"], "a": ["1", "4"]}
    with closing(opened(b"a,b,c\n1,2,3\n4,5\n7,8,9\n")) as file:
        [piece] = file.pieces([])
    assert (piece.batch.num_rows, piece.batch.num_columns, piece.places.tolist()) == (2, 0, [2, 4])


@pytest.mark.parametrize(
    ("content", "rejects"),
    [
        (b"a,b\n1,2\n1,2,3\n4,5\n", [Reject(3, "has 3 fields, the header 2", "1,2,3")]),
        (b'a,b\n"1\n1",2\n\n1\n4,5\n', [Reject(5, "has 1 fields, the header 2", "1")]),
        (b'a,b\n"1\n,1",2,3\r\n\r\n4,5\r\n', [Reject(2, "has 3 fields, the header 2", '"1\n,1",2,3')]),
        (b'a,b\n4,5\n1,\xff"\n', [Reject(3, "is not UTF-8", '1,\udcff"')]),
        ("a,b\né,5\n".encode() + b"\xe9,\xff,\n4,5", [Reject(3, "is not UTF-8", "\udce9,\udcff,")]),
        (
            b"a,b\n1\n\xed\xa0\x80,2\n4,5\n",
            [Reject(2, "has 1 fields, the header 2", "1"), Reject(3, "is not UTF-8", "\udced\udca0\udc80,2")],
        ),
    ],
)
def test_rows_that_cannot_be_read_are_rejects_and_the_others_are_read(content: bytes, rejects: list[Reject]) -> None:
    with closing(opened(content)) as file:
        rows, found = all_of(file)
    assert found == rejects
    assert rows[-1][1][-1] == "5"
    assert len(rows) + len(rejects) == len([*csv.reader(io.StringIO(content.decode("latin-1"), newline=""))]) - (
        1 + content.count(b"\n\n") + content.count(b"\r\n\r\n")
    )


def test_bytes_that_are_no_text_are_found_in_columns_that_nobody_asked_for() -> None:
    with closing(opened(b"a,b\n1,\xff\n2,x\n")) as file:
        [piece] = file.pieces(["a"])
    assert piece.batch.to_pydict() == {"a": ["2"]}
    assert [reject.place for reject in piece.rejects] == [2]


def test_a_piece_of_rejects_alone_is_told_too() -> None:
    with closing(opened(b"a,b\n1\n2\n", block=4)) as file:
        pieces = list(file.pieces(["a"]))
    assert [reject.place for piece in pieces for reject in piece.rejects] == [2, 3]
    assert sum(piece.batch.num_rows for piece in pieces) == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "is UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-be"), "is UTF-16"),
        (b"a,b\xff\n1,2\n", "line 1 is not UTF-8"),
        (b"\na,b\0\n1,2\n", "is no text: line 2 has a NUL byte"),
        (b'a,b\n1,2\n1,"2\n3,4\n', "the quote that is opened on line 3 is not closed"),
        (b'a,"b\n1,2\n', "the quote that is opened on line 1 is not closed"),
        (b"a,b\n1," + b"x" * LONGEST + b"\n", "the record on line 2 has more than 32 MiB"),
    ],
)
def test_what_cannot_be_read_says_why_and_where(content: bytes, says: str) -> None:
    with pytest.raises(InputFileError) as caught:
        rows_of(content)
    assert says in str(caught.value)
    assert str(caught.value).startswith("ingest invest.prices: ")


def test_a_field_of_ten_megabytes_is_read() -> None:
    long = "x" * 5_000_000 + '",\n\r' + "y" * 5_000_000
    content = f'a,b\n1,2\n3,"{long.replace(chr(34), chr(34) * 2)}"\n5,6\n'.encode()
    with closing(opened(content)) as file:
        rows, _ = all_of(file)
    assert [(line, fields) for line, fields, _ in rows] == [(2, ("1", "2")), (3, ("3", long)), (6, ("5", "6"))]


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_a_damaged_end_comes_after_the_rows_before_it(packing: Packing) -> None:
    content = packed(b"a,b\n" + b"".join(b"%d,2\n" % number for number in range(500_000)), packing)
    with closing(opened(content[:-100], 1 << 20)) as file:
        pieces = file.pieces(["a"])
        assert next(pieces).batch.num_rows > 0
        with pytest.raises(InputFileError, match="damaged or cut off"):
            list(pieces)


def test_many_rows_come_in_order_and_in_pieces(tmp_path: Path) -> None:
    count = 1_500_000
    path = written(tmp_path, ("a,b\n" + "".join(f"{n},x\n" for n in range(count))).encode(), packing="gz")
    seen = []
    with closing(CsvInput(TextInput(path, operation="ingest", target="t"))) as file:
        pieces = []
        for piece in file.pieces(["a"]):
            pieces.append(piece)
            seen.append(file.position)
        assert file.position == file.size == path.stat().st_size
        assert file.digest == hashlib.sha256(gzip.decompress(path.read_bytes())).digest()
    assert len(pieces) > count // PIECE_ROWS
    assert all(0 < piece.batch.num_rows <= PIECE_ROWS for piece in pieces)
    assert all(before <= after for before, after in pairwise(seen))
    assert [value for piece in pieces for value in piece.batch.column(0).to_pylist()] == list(map(str, range(count)))
    assert [place for piece in pieces for place in piece.places.tolist()] == list(range(2, count + 2))
    assert pieces[3].text(5) == f"{pieces[3].places[5] - 2},x"


def test_nobody_reads_on_behind_a_header_that_cannot_be_read() -> None:
    with pytest.raises(InputFileError, match="is not UTF-8"):
        opened(b"\xff\n" + b"1,2\n" * 3_000_000)
    assert not [thread for thread in threading.enumerate() if "storekeeper-ahead" in thread.name]


def test_what_is_left_open_halfway_is_closed(tmp_path: Path) -> None:
    path = written(tmp_path, b"a,b\n" + b"1,2\n" * 3_000_000)
    file = CsvInput(TextInput(path, operation="ingest", target="t"))
    next(file.pieces(["a"]))
    file.close()
    file.close()
    assert not [thread for thread in threading.enumerate() if "storekeeper-ahead" in thread.name]


FIELDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(st.tuples(FIELDS, FIELDS, FIELDS), max_size=12),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    packing=st.sampled_from(PACKINGS),
    block=st.integers(1, 50),
)
@example(rows=[("\ufeff", "\n", '"')], quoting=csv.QUOTE_MINIMAL, end="\n", packing="plain", block=7)
def test_what_pythons_csv_module_writes_is_read_back(
    rows: list[tuple[str, str, str]], quoting: int, end: str, packing: Packing, block: int
) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # no version of the module quotes all line ends but its own
        unquoted = str.maketrans("", "", "\r\n" if end == "\r" else "\r")
        rows = [(a.translate(unquoted), b.translate(unquoted), c.translate(unquoted)) for a, b, c in rows]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]  # one of its constants
    writer.writerow(("a", "b", "c"))
    writer.writerows(rows)
    with closing(opened(packed(buffer.getvalue().encode(), packing), block)) as file:
        found, rejects = all_of(file)
    nothing = "" if quoting == csv.QUOTE_ALL else None
    assert [fields for _, fields, _ in found] == [tuple(field or nothing for field in row) for row in rows]
    assert not rejects


#: Fields as they may stand in a file, and what each is.
WRITTEN = st.one_of(
    st.sampled_from(
        [("", None), ('""', ""), ('5" disk', '5" disk'), ('"a"b"c', 'ab"c'), ('"\r"', "\r"), ('x"",', None)]
    ),
    st.text("ab é日\ufeff", min_size=1, max_size=4).map(lambda text: (text, text)),
    st.text('ab,"\r\né\0', max_size=6).map(lambda text: ('"' + text.replace('"', '""') + '"', text)),
).filter(lambda field: not field[0].endswith(","))


@settings(deadline=None, max_examples=300)
@given(
    rows=st.lists(st.tuples(WRITTEN, WRITTEN), max_size=10),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n"]), min_size=11, max_size=11),
    block=st.integers(1, 30),
)
def test_empty_and_quoted_empty_are_kept_apart(
    rows: list[tuple[tuple[str, str | None], tuple[str, str | None]]], ends: list[str], block: int
) -> None:
    lines = ["a,b", *(f"{first[0]},{second[0]}" for first, second in rows)]
    content = "".join(line + end for line, end in zip(lines, ends, strict=False))
    with closing(opened(content.encode(), block)) as file:
        found, rejects = all_of(file)
    assert [fields for _, fields, _ in found] == [(first[1], second[1]) for first, second in rows]
    assert [text for _, _, text in found] == lines[1:]
    assert not rejects


SOUP = st.lists(
    st.sampled_from(
        [b",", b'"', b'""', b'","', b"\n", b"\r\n", b"\r", b'"\n', b"a", b" ", b"\xc3\xa9", b"\xff", b"\0"]
    ),
    max_size=40,
).map(b"".join)


def by_csv_module(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    before = 0
    for record in reader:
        if record:
            yield before + 1, record
        before = reader.line_num


@settings(max_examples=1000, deadline=None)
@given(header=st.sampled_from([b"a,b\n", b"a\r", b'"a",b,c\r\n']), soup=SOUP, block=st.integers(1, 30) | st.just(BLOCK))
def test_any_bytes_are_the_rows_of_the_csv_module_or_rejects(header: bytes, soup: bytes, block: int) -> None:
    text = (header + soup).decode("utf-8", "surrogateescape")
    assume([*by_csv_module(text + "\nnext")][-1][1] == ["next"])  # no quote is open at the end
    with closing(opened(header + soup, block)) as file:
        width = len(file.header)
        rows, rejects = all_of(file)
    expected = list(by_csv_module(text))[1:]
    good = [
        (line, record)
        for line, record in expected
        if len(record) == width and not any("\ud800" <= letter <= "\udfff" for letter in "".join(record))
    ]
    assert [(line, [field or "" for field in fields]) for line, fields, _ in rows] == good
    assert [[*by_csv_module(raw)] for _, _, raw in rows] == [[(1, record)] for _, record in good]
    others = [(line, record) for line, record in expected if (line, record) not in good]
    assert [(reject.place, [*by_csv_module(reject.row)]) for reject in rejects] == [
        (line, [(1, record)]) for line, record in others
    ]
