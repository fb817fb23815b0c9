"""Rows as lines of csv or ndjson, exact. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from storekeeper.analytics.asking import Answer
from storekeeper.analytics.jsontext import json_text, number_text, one_line, time_text
from storekeeper.analytics.statements import Column

#: What a field of csv is put into quotes for; an empty text too, since an empty field is no value.
_TO_QUOTE = re.compile(r'[",\r\n]|\A\Z')


def csv_lines(answer: Answer) -> Iterator[str]:
    """A header, then a line a row, each with its end.

    Numbers have all their digits, moments are ISO 8601 in UTC with Z, booleans true or false, lists and objects JSON.
    No value is an empty field, an empty text is "".
    """
    yield f"{','.join(csv_field(column.name) for column in answer.columns)}\n"
    for batch in answer.batches:
        yield "".join(f"{','.join(map(csv_field, row))}\n" for row in batch)


def csv_field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f'"{value.replace(chr(34), chr(34) * 2)}"' if _TO_QUOTE.search(value) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return number_text(value) if value.is_finite() else str(value)
    if isinstance(value, date):
        return time_text(value)
    return repr(value) if isinstance(value, (int, float)) else csv_field(str(value))


def ndjson_lines(answer: Answer) -> Iterator[str]:
    """A JSON object a row, each on a line with its end: numbers are numbers of all their digits, documents are objects,
    no value is null."""
    for batch in answer.batches:
        yield "".join(f"{line}\n" for line in objects(answer.columns, batch))


def objects(
    columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, decimals_as_text: bool = False
) -> Iterator[str]:
    """Each row as a JSON object on one line."""
    names = [json_text(column.name) for column in columns]
    nested = [column.json for column in columns]

    def value_text(value: Any, is_json: bool) -> str:
        if value is not None and is_json:
            return one_line(value)
        return json_text(number(value) if decimals_as_text and isinstance(value, Decimal) else value)

    for row in rows:
        fields = (f"{name}: {value_text(value, deep)}" for name, value, deep in zip(names, row, nested, strict=True))
        yield f"{{{', '.join(fields)}}}"


def number(value: Decimal) -> str:
    """A decimal as text."""
    return number_text(value) if value.is_finite() else str(value)
