"""Where records of csv begin and end, against Python's csv module."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings, strategies as st

from storekeeper.ingest.readers.csv_records import NoRecordError, cut, records

LONGEST = 1 << 20

#: Everything that means something in csv, and something that does not.
SOUP = st.lists(
    st.sampled_from([",", '"', '""', '","', "\n", "\r\n", "\r", '"\n', ',"', "a", "5", " ", "é", "日", "\ufeff", "\0"]),
    max_size=40,
).map("".join)


def by_csv_module(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line on which it begins, fields) of every record that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""))
    before = 0
    for record in reader:
        if record:
            yield before + 1, record
        before = reader.line_num


def is_open(text: str) -> bool:
    """Whether a quote is open at the end: one more line is part of the last record then."""
    return [*by_csv_module(text + "\nnext")][-1][1] != ["next"]


def found(text: str, block: int) -> list[tuple[int, str, int]]:
    """(line, raw text, width) of every record."""
    stream = io.BytesIO(text.encode())
    return [
        (int(part.lines[record]), part.text(record), int(part.widths()[record]))
        for part in records(stream.read, block=block, longest=LONGEST)
        for record in range(len(part))
    ]


@settings(max_examples=1000, deadline=None)
@given(text=SOUP, block=st.integers(1, 9) | st.just(1 << 16))
@example(text='a\r\n"b\r"\r\r\n', block=1)
@example(text='5" disk,"x\ny"\n"a"b"c,"d"\n', block=3)
@example(text='"a""\n""b",c\n"', block=2)
@example(text='""""\r"",""""""\n', block=1)
def test_records_are_those_of_the_csv_module(text: str, block: int) -> None:
    if is_open(text):
        with pytest.raises(NoRecordError, match="is not closed"):
            found(text, block)
        return
    expected = list(by_csv_module(text))
    cut_out = found(text, block)
    assert [(line, width) for line, _, width in cut_out] == [(line, len(fields)) for line, fields in expected]
    assert [[*by_csv_module(raw)] for _, raw, _ in cut_out] == [[(1, fields)] for _, fields in expected]


@settings(max_examples=300, deadline=None)
@given(text=SOUP, after=SOUP)
def test_what_is_cut_does_not_depend_on_what_follows(text: str, after: str) -> None:
    alone = cut(text.encode(), line=1, final=False)
    longer = cut((text + after).encode(), line=1, final=False)
    count = len(alone.records)
    assert alone.used <= longer.used
    assert alone.records.lines.tolist() == longer.records.lines.tolist()[:count]
    assert list(map(alone.records.raw, range(count))) == list(map(longer.records.raw, range(count)))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,"', 1),
        ('a\nb,"c\nd\n', 2),
        ('a\n\r\r\n"b""\n\nc""', 4),
        ('5" disk\n"x"y"z,"\n\n', 2),
        ('"x\n\n\n",1\n"y', 5),
        ('"x"\n"a""\nb', 2),
    ],
)
@pytest.mark.parametrize("block", [1, 4, 1000])
def test_a_quote_that_is_never_closed_is_named_by_the_line_on_which_it_opens(text: str, line: int, block: int) -> None:
    with pytest.raises(NoRecordError, match=f"the quote that is opened on line {line} is not closed"):
        found(text, block)


@pytest.mark.parametrize("block", [1 << 14, 4 << 20])
def test_a_record_may_be_long_but_not_longer_than_allowed(block: int) -> None:
    lines = (LONGEST - 4) // 2
    assert [line for line, _, _ in found('a,b\n1,"' + "x\n" * lines + '"\n2,3\n', block)] == [1, 2, 3 + lines]
    for long in ("1," + "x" * (LONGEST - 1) + "\n2,3\n", '1,"' + "x\n" * LONGEST + '"\n'):
        with pytest.raises(NoRecordError, match="the record on line 3 has more than 1 MiB"):
            found("a,b\n\n" + long, block)


def test_a_long_record_with_an_open_quote_says_so() -> None:
    with pytest.raises(NoRecordError, match="line 2 has more than 1 MiB; the quote that is opened on line 3 is not"):
        found('a,b\n"1\n2","' + "3,4\n" * LONGEST, 1 << 14)
