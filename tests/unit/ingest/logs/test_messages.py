"""Lines into messages: what continues what, what is a stack trace, and what is refused."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given, strategies as st

from storekeeper.ingest.logs.calendar import Calendar
from storekeeper.ingest.logs.formats import format_of
from storekeeper.ingest.logs.levels import kept_level
from storekeeper.ingest.logs.line import Line
from storekeeper.ingest.logs.log4j import LOG4J
from storekeeper.ingest.logs.messages import LONGEST_MESSAGE, Message, Refused, read_log
from storekeeper.ingest.logs.traces import text_and_trace

BEGIN = "2024-01-02 10:11:12 ERROR [main] o.e.Shop: "


def read(lines: list[Line], blocks: int = 1_000) -> list[Message | Refused]:
    parts = [lines[start : start + blocks] for start in range(0, len(lines), blocks)]
    return list(read_log(parts, LOG4J, Calendar(UTC, None)))


def described(item: Message | Refused) -> object:
    return (item.place, item.text, item.mark, item.document) if isinstance(item, Message) else (item.place, item.text)


def numbered(*texts: str) -> list[Line]:
    return [Line(place, text, str(place).encode()) for place, text in enumerate(texts, start=1)]


@pytest.mark.parametrize(
    ("continuation", "text", "trace"),
    [
        ([], "it broke", ""),
        (["  more of it", ""], "it broke\n  more of it", ""),
        (
            [
                "java.io.IOException: gone",
                "\tat o.e.Shop.sell(Shop.java:12)",
                "Caused by: x.YException",
                "\t... 3 more",
            ],
            "it broke",
            "java.io.IOException: gone\n\tat o.e.Shop.sell(Shop.java:12)\nCaused by: x.YException\n\t... 3 more",
        ),
        (["\tat o.e.Shop.sell(Shop.java:12)"], "it broke", "\tat o.e.Shop.sell(Shop.java:12)"),
        (["java.lang.NullPointerException"], "it broke", "java.lang.NullPointerException"),
        (
            ["see below", "Traceback (most recent call last):", '  File "a.py", line 1, in f', "ValueError: x"],
            "it broke\nsee below",
            'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: x',
        ),
        (
            ["TypeError: x is not a function", "    at sell (/srv/shop.js:1:2)"],
            "it broke",
            "TypeError: x is not a function\n    at sell (/srv/shop.js:1:2)",
        ),
        (["Error: the disk is full", "call somebody"], "it broke\nError: the disk is full\ncall somebody", ""),
        (["goroutine 1 [running]:", "main.main()"], "it broke", "goroutine 1 [running]:\nmain.main()"),
        (
            ["   at Shop.Sell(Int32 n) in C:\\shop.cs:line 7"],
            "it broke",
            "   at Shop.Sell(Int32 n) in C:\\shop.cs:line 7",
        ),
        (["    at noon it was well"], "it broke\n    at noon it was well", ""),
    ],
)
def test_what_continues_a_message_is_its_text_or_its_stack_trace(
    continuation: list[str], text: str, trace: str
) -> None:
    body = text_and_trace(["it broke", *continuation])
    assert (body.text, body.trace) == (text, trace)
    [message] = read(numbered(BEGIN + "it broke", *continuation))
    assert isinstance(message, Message)
    assert message.document["message"] == text
    assert message.document.get("stackTrace", "") == trace


@given(
    st.lists(st.sampled_from([BEGIN + "a", BEGIN + "b", "more", "", "\tat x.Y(Z.java:1)"]), max_size=30),
    st.integers(1, 7),
)
def test_every_line_is_in_one_message_or_refused_or_blank(texts: list[str], blocks: int) -> None:
    lines = numbered(*texts)
    found = read(lines, blocks)
    assert [described(item) for item in found] == [described(item) for item in read(lines)]
    told: dict[int, str] = {}
    for message in found:
        for offset, text in enumerate(message.text.split("\n")):
            assert message.place + offset not in told
            told[message.place + offset] = text
    assert {place: text for place, text, *_ in lines if text} == {place: text for place, text in told.items() if text}
    starts = [place for place, text, *_ in lines if text.startswith("2024")]
    assert [message.place for message in found if isinstance(message, Message)] == starts
    for message, end in zip([m for m in found if isinstance(m, Message)], [*starts[1:], len(lines) + 1], strict=False):
        assert message.mark == str(end - 1).encode(), "the mark is that of the message's last line"


def test_what_continues_a_refused_message_is_refused_with_it() -> None:
    good, bad, last = read(
        numbered(BEGIN + "x", "2024-13-02 10:11:12 INFO y", "\tat x.Y(Z.java:1)", "  more", BEGIN + "z")
    )
    assert isinstance(good, Message)
    assert isinstance(last, Message)
    assert isinstance(bad, Refused)
    assert (bad.place, bad.fault.reason) == (2, "has a time that does not exist: 2024-13-02 10:11:12")
    assert bad.text == "2024-13-02 10:11:12 INFO y\n\tat x.Y(Z.java:1)\n  more"


def test_lines_before_the_first_message_are_refused_each() -> None:
    first, second, good = read(numbered("", "who", "knows", BEGIN + "x"))
    assert [(first.place, first.text), (second.place, second.text)] == [(2, "who"), (3, "knows")]
    assert isinstance(first, Refused)
    assert first.fault.reason == "begins no message as log4j writes it"
    assert isinstance(good, Message)


def test_a_line_that_is_no_text_is_refused_alone_or_with_what_it_began() -> None:
    lines = numbered(BEGIN + "x", "caf\udce9", "more", BEGIN + "caf\udce9", "its own", BEGIN + "y")
    found = read([line._replace(fault="is not UTF-8") if "\udce9" in line.text else line for line in lines])
    assert [(type(item), item.place) for item in found] == [(Refused, 2), (Message, 1), (Refused, 4), (Message, 6)]
    assert found[1].text == BEGIN + "x\nmore"
    assert found[2].text == BEGIN + "caf\udce9\nits own"


def test_a_message_that_no_document_holds_is_refused() -> None:
    line = "x" * (LONGEST_MESSAGE // 4)
    long, good = read(numbered(BEGIN, *[line] * 40, BEGIN + "y"))
    assert isinstance(long, Refused)
    assert long.fault.reason == "is longer than the 16 MB that a document holds"
    assert len(long.text) < 2_000
    assert isinstance(good, Message)


@pytest.mark.parametrize("form", ["kafka", "log4j", "syslog", "android", "combined", "json"])
@given(text=st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=80))
def test_no_line_raises(form: str, text: str) -> None:
    list(read_log([[Line(1, text, b"")]], format_of(form), Calendar(UTC, 2024)))


@pytest.mark.parametrize(
    ("original", "level", "kept"),
    [
        ("INFO", "info", None), ("Info", "info", None), ("warn", "warn", None), ("ERROR", "error", None),
        ("TRACE", "info", "TRACE"), ("DEBUG", "info", "DEBUG"), ("NOTICE", "info", "NOTICE"),
        ("WARNING", "warn", "WARNING"), ("err", "error", "err"), ("SEVERE", "error", "SEVERE"),
        ("FATAL", "error", "FATAL"), ("Critical", "error", "Critical"), ("emerg", "error", "emerg"),
        ("CONFIG", "info", "CONFIG"), ("whatever", "info", "whatever"), (None, "info", None), ("", "info", None),
        (3, "error", 3), (4, "warn", 4), (7, "info", 7), (20, "info", 20), (40, "warn", 40), (60, "error", 60),
    ],
)  # fmt: skip
def test_levels_are_kept_as_three_and_the_original_with_them(
    original: str | int | None, level: str, kept: str | int | None
) -> None:
    assert kept_level(original) == (level, kept)
