"""csv and ndjson: every value to its last digit, read back by other programs' readers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given, strategies as st

from storekeeper.analytics.asking import Answer
from storekeeper.analytics.jsontext import json_text, one_line, time_text
from storekeeper.analytics.lines import csv_field, csv_lines, ndjson_lines
from storekeeper.analytics.statements import Column

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), DECIMALS, st.text())
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


def answer(rows: Sequence[Sequence[Any]], *, json_columns: Sequence[int] = ()) -> Answer:
    width = len(rows[0])
    columns = tuple(Column(f"c{place}", sa.Text(), json=place in json_columns) for place in range(width))
    return Answer(columns, iter([[tuple(row) for row in rows]]))


@given(DOCUMENTS)
def test_json_is_read_back_as_it_was(document: Any) -> None:
    text = json_text(document)
    assert "\n" not in text
    assert json.loads(text, parse_float=Decimal, parse_int=Decimal) == _numbers_as_decimals(document)


@given(st.lists(st.tuples(SCALARS, DECIMALS), min_size=1, max_size=5))
def test_ndjson_is_read_back_to_the_last_digit(rows: list[tuple[Any, Decimal]]) -> None:
    lines = "".join(ndjson_lines(answer(rows))).split("\n")
    assert lines.pop() == ""
    read = [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in lines]
    assert [tuple(row.values()) for row in read] == [tuple(map(_numbers_as_decimals, row)) for row in rows]
    for row, (_, number) in zip(read, rows, strict=True):
        assert str(row["c1"].as_tuple().digits) == str(Decimal(f"{number:f}").as_tuple().digits), "zeros at the end too"


@given(st.lists(st.tuples(st.none() | st.text(), DECIMALS), min_size=1, max_size=5))
def test_csv_is_read_back_by_the_standard_reader(rows: list[tuple[str | None, Decimal]]) -> None:
    text = "".join(csv_lines(answer(rows)))
    header, *read = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == ["c0", "c1"]
    assert [(first, Decimal(second)) for first, second in read] == [(first or "", number) for first, number in rows]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        ("", '""'),
        ("a,b", '"a,b"'),
        ('say "x"\n', '"say ""x""\n"'),
        (True, "true"),
        (Decimal("1610.500000"), "1610.500000"),
        (Decimal("1E-9"), "0.000000001"),
        (Decimal("NaN"), "NaN"),
        (0.1, "0.1"),
        (datetime(2024, 5, 1, 12, 0, 0, 250000, tzinfo=timezone(timedelta(hours=2))), "2024-05-01T10:00:00.250000Z"),
        (date(2024, 5, 1), "2024-05-01"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_fields_of_csv(value: object, field: str) -> None:
    assert csv_field(value) == field


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("NaN"), '"NaN"'),
        (float("inf"), '"inf"'),
        (1e300, "1e+300"),
        (Decimal("1E+3"), "1000"),
        ({"at": datetime(2024, 5, 1, tzinfo=UTC), "b": b"\x01"}, '{"at": "2024-05-01T00:00:00Z", "b": "01"}'),
        ((1, UUID(int=2)), '[1, "00000000-0000-0000-0000-000000000002"]'),
    ],
)
def test_what_json_has_no_type_for(value: object, text: str) -> None:
    assert json_text(value) == text


def test_documents_are_objects_and_their_numbers_untouched() -> None:
    rows = [("a", '{"n": 1.50,\n "big": 12345678901234567890.123456789}'), ("b", None)]
    lines = list(ndjson_lines(answer(rows, json_columns=[1])))
    assert "".join(lines) == (
        '{"c0": "a", "c1": {"n": 1.50,  "big": 12345678901234567890.123456789}}\n{"c0": "b", "c1": null}\n'
    )
    assert one_line('{"a": "\\n"}') == '{"a": "\\n"}'
    assert one_line('{"a":\r\n "\u2028"}') == '{"a":   "\u2028"}', "which breaks lines in text, but not in JSON"


def test_a_time_without_a_zone_gets_none() -> None:
    assert time_text(datetime(2024, 5, 1, 10, tzinfo=UTC).replace(tzinfo=None)) == "2024-05-01T10:00:00"


def _numbers_as_decimals(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int():
            return Decimal(value)
        case dict():
            return {name: _numbers_as_decimals(inner) for name, inner in value.items()}
        case list():
            return [_numbers_as_decimals(inner) for inner in value]
        case _:
            return value
