"""Newline-delimited JSON, against Python's json module: exact texts, and what is said of lines that are none."""

from __future__ import annotations

import io
import json
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from packed import PACKINGS, Packing, packed
from storekeeper.errors import InputFileError
from storekeeper.ingest.readers.ndjson_input import BLOCK, LONGEST, JsonObject, NdjsonInput
from storekeeper.ingest.readers.piece import PIECE_ROWS, Reject
from storekeeper.ingest.readers.text_input import Stdin, TextInput


def opened(content: str | bytes, block: int = BLOCK) -> NdjsonInput:
    stream = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    return NdjsonInput(TextInput(Stdin(stream), operation="ingest", target="t"), block=block)


def all_of(file: NdjsonInput, *wanted: str) -> tuple[list[tuple[int, str, list[str | None]]], list[Reject]]:
    """(line, text, fields) of every row, and the rejects."""
    rows: list[tuple[int, str, list[str | None]]] = []
    rejects: list[Reject] = []
    for piece in file.pieces(wanted):
        fields = [list(row.values()) for row in piece.batch.to_pylist()]
        rows += [(int(piece.places[row]), piece.text(row), fields[row]) for row in range(piece.batch.num_rows)]
        rejects += piece.rejects
    return rows, rejects


def column(content: str, name: str) -> list[str | None]:
    """A column of a file without rejects."""
    with closing(opened(content)) as file:
        rows, rejects = all_of(file, name)
    assert not rejects
    return [fields[0] for _, _, fields in rows]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1", "1"),
        ("-0", "-0"),
        ("1.10", "1.10"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("1E+400", "1E+400"),
        ("9" * 5000, "9" * 5000),
        ("true", "true"),
        ("false", "false"),
        ("null", None),
        ('""', ""),
        ('"null"', "null"),
        ('"1.10"', "1.10"),
        ('"a\\n\\u00e9\\ud83d\\ude00\\"é"', 'a\né😀"é'),
        ("[1.10, 2E5 ,\t[]]", "[1.10, 2E5 ,\t[]]"),
        ('{"b": {"c": 0.10}, "d": "\\u00e9"}', '{"b": {"c": 0.10}, "d": "\\u00e9"}'),
        ("{}", "{}"),
    ],
)
def test_every_value_is_its_exact_text(value: str, text: str | None) -> None:
    assert column(f'{{"x": [0, {{"a": 3}}], "a":{value}}}\n{{"a" :  {value} ,"x":1}}', "a") == [text, text]


def test_the_header_is_all_keys_of_the_first_block_in_their_order() -> None:
    content = '{"b": 1, "a": 2}\nnothing\n{"c": 3, "a": 4}\n'
    with closing(opened(content)) as file:
        assert file.header == ("b", "a", "c")
        rows, rejects = all_of(file, "c", "b")
    assert [(line, fields) for line, _, fields in rows] == [(1, [None, "1"]), (3, ["3", None])]
    assert [reject.place for reject in rejects] == [2]


@pytest.mark.parametrize("matters", [True, False])
def test_a_key_that_the_header_has_not_is_a_reject_where_it_matters(matters: bool) -> None:
    content = '{"a": 1}\n' * 10 + '{"a": 2, "late": {"x": 1}}\n{"a": 3}\n'
    asked = []

    def ask(name: str) -> bool:
        asked.append(name)
        return matters

    with closing(opened(content * 2, block=30)) as file:
        assert file.header == ("a",)
        pieces = list(file.pieces(["a"], matters=ask))
    rejects = [reject for piece in pieces for reject in piece.rejects]
    assert asked == ["late"] * (2 if matters else 1)
    if matters:
        reason = "has the key 'late', which the rows before have not"
        assert rejects == [Reject(line, reason, '{"a": 2, "late": {"x": 1}}', "late") for line in (11, 23)]
    assert sum(piece.batch.num_rows for piece in pieces) + len(rejects) == 24


def test_a_path_leads_into_nested_objects_unless_a_key_has_that_name() -> None:
    content = '{"p": {"q": {"r": 1.50, "q": [2]}, "s": null}, "p.s": 7}\n{"p": null}\n{"p": {"q": null}}\n{"p.s": 8}\n'
    with closing(opened(content)) as file:
        assert [file.has(name) for name in ("p", "p.s", "p.q.r", "q", "")] == [True, True, True, False, False]
        rows, rejects = all_of(file, "p.q.r", "p.q", "p.s", "p.x")
    assert [fields for _, _, fields in rows] == [
        ["1.50", '{"r": 1.50, "q": [2]}', "7", None],
        [None, None, None, None],
        [None, None, None, None],
        [None, None, "8", None],
    ]
    assert not rejects


def test_a_path_through_what_is_no_object_is_a_reject() -> None:
    content = '{"p": {"q": 1}}\n{"p": [1]}\n{"p": {"q": 2}}\n'
    with closing(opened(content)) as file:
        rows, rejects = all_of(file, "p.q")
    assert [line for line, _, _ in rows] == [1, 3]
    assert rejects == [Reject(2, "p is no object, and has no q", '{"p": [1]}', "p.q")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x", "is no JSON: Expecting value, at character 1"),
        ('{"a": 1', "is no JSON: Expecting ',' delimiter, at character 8"),
        ('{"a": 01}', "is no JSON: Expecting ',' delimiter, at character 8"),
        ('{"a": 1} {"a": 2}', "is no JSON: Extra data, at character 10"),
        ('{"a": "\t"}', "is no JSON: Invalid control character at, at character 8"),
        ("[1]", "is no JSON object"),
        ("1", "is no JSON object"),
        ("null", "is no JSON object"),
        ('{"a": NaN}', "has NaN, which is no JSON"),
        ('{"a": [-Infinity]}', "has -Infinity, which is no JSON"),
        ('{"a": "\\ud800"}', "has half of a surrogate pair, which is no text"),
        ('{"b": ["\\udfff\\ud83d\\ude00"]}', "has half of a surrogate pair, which is no text"),
        ('{"\\uDC00": 1}', "has half of a surrogate pair, which is no text"),
        (f'{{"a": {"[" * 100_000}{"]" * 100_000}}}', "is nested too deeply"),
    ],
)
def test_lines_that_are_no_objects_are_rejects(line: str, reason: str) -> None:
    content = f'{{"a": 5, "b": 6}}\r\n\n \t\r\n{line}\n{{"a": 7}}'
    with closing(opened(content)) as file:
        rows, rejects = all_of(file, "a")
    assert [(place, fields) for place, _, fields in rows] == [(1, ["5"]), (5, ["7"])]
    assert rejects == [Reject(4, reason, line)]
    with closing(opened(content)) as file:
        assert [found for found in file.objects() if isinstance(found, Reject)] == rejects


@pytest.mark.parametrize("line", ['{"a": 1, "b": 2, "a": 1}', '{"b": [{"a": 1, "a": 2}]}', '{"a": 1, "\\u0061": 2}'])
def test_an_object_with_a_key_twice_is_a_reject(line: str) -> None:
    with closing(opened('{"b": 1, "a": 2}\n' + line)) as file:
        _, rejects = all_of(file, "b")
    assert rejects == [Reject(2, "has the key 'a' twice", line, "a")]


def test_a_line_that_is_not_utf8_is_a_reject() -> None:
    with closing(opened('{"a": "é"}\n'.encode() + b'{"a": "\xe9"}\n{"b": "\xed\xa0\x80"}\n{"a": 1}')) as file:
        rows, rejects = all_of(file, "a")
    assert [fields for _, _, fields in rows] == [["é"], ["1"]]
    assert rejects == [
        Reject(2, "is not UTF-8", '{"a": "\udce9"}'),
        Reject(3, "is not UTF-8", '{"b": "\udced\udca0\udc80"}'),
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n \r\n", "is empty"),
        (b'\xef\xbb\xbf\n[{"a": 1},\n{"a": 2}\n]', "is a JSON list; one object a line is expected"),
        (b'{\n  "a": 1\n}\n', "line 1 is no JSON: Expecting property name .*; one object a line is expected"),
        (b"\n1\n2\n", "line 2 is no JSON object; one object a line is expected"),
        ('{"a": 1}'.encode("utf-16"), "is UTF-16"),
        (b'{"a": 1}\n{"a": "' + b"x" * LONGEST + b'"}\n', "line 2 has more than 32 MiB"),
    ],
)
def test_a_file_of_something_else_is_an_error(content: bytes, says: str) -> None:
    with pytest.raises(InputFileError, match=says):
        list(opened(content).pieces(["a"]))


def test_a_line_of_ten_megabytes_is_read() -> None:
    long = "x" * 10_000_000
    assert column(f'{{"a": 1}}\n{{"a": "{long}"}}\n{{"a": 3}}', "a") == ["1", long, "3"]


def test_many_lines_come_in_pieces() -> None:
    count = 2 * PIECE_ROWS + 5
    with closing(opened("".join(f'{{"a":{number}}}\n' for number in range(count)))) as file:
        pieces = list(file.pieces(["a"]))
    assert len(pieces) == 3
    assert max(piece.batch.num_rows for piece in pieces) == PIECE_ROWS
    assert [value for piece in pieces for value in piece.batch.column(0).to_pylist()] == list(map(str, range(count)))
    assert [place for piece in pieces for place in piece.places.tolist()] == list(range(1, count + 1))


def test_no_column_may_be_wanted() -> None:
    with closing(opened('{"a": 1}\n\n{"a": 2}\n')) as file:
        [piece] = file.pieces([])
    assert (piece.batch.num_rows, piece.batch.num_columns, piece.places.tolist()) == (2, 0, [1, 3])


def test_objects_come_with_line_and_text_and_plain_numbers() -> None:
    with closing(opened('{"a": 1, "b": [1.5, null]} \r\n\n[]\n{"a": 12345678901234567890, "c": true}\n')) as file:
        found = list(file.objects())
    assert found == [
        JsonObject(1, '{"a": 1, "b": [1.5, null]}', {"a": 1, "b": [1.5, None]}),
        Reject(3, "is no JSON object", "[]"),
        JsonObject(4, '{"a": 12345678901234567890, "c": true}', {"a": 12345678901234567890, "c": True}),
    ]


@pytest.mark.parametrize("number", ["1e400", "9" * 5000])
def test_a_number_that_python_cannot_hold_is_no_object(number: str) -> None:
    with closing(opened(f'{{"a": 1}}\n{{"a": {number}}}')) as file:
        first, second = file.objects()
    assert isinstance(first, JsonObject)
    assert isinstance(second, Reject)
    assert second.reason.startswith("has a number that")


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c.d", 'é"']), VALUES), min_size=1, max_size=8)


@settings(deadline=None, max_examples=300)
@given(
    objects=OBJECTS,
    ascii_only=st.booleans(),
    separators=st.sampled_from([(",", ":"), (" , ", " : "), (",\t", ":\r")]),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    packing=st.sampled_from(PACKINGS),
    block=st.integers(1, 60) | st.just(BLOCK),
)
def test_what_json_writes_is_read_back(
    objects: list[dict[str, Any]],
    ascii_only: bool,
    separators: tuple[str, str],
    end: str,
    packing: Packing,
    block: int,
) -> None:
    lines = [json.dumps(value, ensure_ascii=ascii_only, separators=separators) for value in objects]
    content = packed("".join(line + end for line in lines).encode(), packing)
    with closing(opened(content, block)) as file:
        assert list(file.objects()) == [
            JsonObject(1 + number * end.count("\n"), line, value)
            for number, (line, value) in enumerate(zip(lines, objects, strict=True))
        ]
    with closing(opened(content, block)) as file:
        names = file.header
        assert set(names) <= {name for value in objects for name in value}
        wanted = [name for name in ("a", "b", "c.d", 'é"') if name in names]
        pieces = list(file.pieces(wanted, matters=lambda _: False))
    assert not any(piece.rejects for piece in pieces)
    rows = [row for piece in pieces for row in piece.batch.to_pylist()]
    for value, row in zip(objects, rows, strict=True):
        for name in wanted:
            expected = value.get(name)
            if expected is None or isinstance(expected, str):
                assert row[name] == expected
            else:
                assert row[name] is not None
                assert json.loads(row[name]) == expected
                assert json.dumps(expected, ensure_ascii=ascii_only, separators=separators) == row[name]
