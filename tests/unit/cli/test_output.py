"""Values as people and machines read them, and tables on a terminal and in a pipe."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from storekeeper.cli import output
from storekeeper.cli.output import briefly, counted, duration, emit_json, size, table, text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (datetime(2024, 5, 1, tzinfo=UTC), "2024-05-01 00:00"),
        (datetime(2024, 5, 1, 10, 0, 7, tzinfo=UTC), "2024-05-01 10:00:07"),
        (Decimal("1610.500000"), "1610.5"),
        (Decimal("0E-6"), "0"),
        (Decimal("1E+3"), "1000"),
        (1234567.891, "1.23457e+06"),
        (True, "True"),
        (timedelta(minutes=3, seconds=20), "3 min 20 s"),
    ],
)
def test_values(value: object, shown: str) -> None:
    assert text(value) == shown


@pytest.mark.parametrize(
    ("length", "shown"),
    [(0.2, "0 s"), (59.6, "1 min"), (45, "45 s"), (3600, "1 h"), (3605, "1 h"), (90061, "1 d 1 h"), (-3, "0 s")],
)
def test_lengths_of_time_by_their_two_largest_units(length: float, shown: str) -> None:
    assert duration(timedelta(seconds=length)) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(None, ""), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
)
def test_sizes(count: int | None, shown: str) -> None:
    assert size(count) == shown


def test_counts() -> None:
    assert [counted(count, "row") for count in (0, 1, 50390)] == ["0 rows", "1 row", "50,390 rows"]


def test_an_outcome_without_what_to_do() -> None:
    assert briefly("run job x: it failed\nHINT: look") == "run job x: it failed"
    assert briefly("2 actions") == "2 actions"


def test_in_a_pipe_a_row_is_a_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    table("", ("name", "n", "day"), [("[red]x" * 40, 7, datetime(2024, 5, 1, tzinfo=UTC)), (":key:", 12, None)])
    header, rule, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "n", "day"]
    assert set(rule) == {"─", " "}
    assert first.split() == ["[red]x" * 40, "7", "2024-05-01"], "taken literally; a midnight is a day"
    assert second.split() == [":key:", "12"]
    assert first.index("7") == second.index("12") + 1, "numbers to the right"


def test_on_a_narrow_terminal_rows_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    screen = io.StringIO()
    narrow = Console(file=screen, width=30, markup=False, highlight=False)
    monkeypatch.setattr(output, "console", lambda: narrow)
    table("Jobs", ("job", "does"), [("retention", "drops chunks that are old enough")])
    assert screen.getvalue().splitlines() == [
        "",
        "Jobs",
        "job        does",
        "─────────  ───────────────────",
        "retention  drops chunks that",
        "           are old enough",
    ]


def test_a_table_without_rows_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    table("Collections", ("dataset",), [])
    assert capsys.readouterr().out == ""


def test_json_is_one_line_exact_and_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json(
        {
            "at": datetime(2024, 5, 1, 10, tzinfo=UTC),
            "price": Decimal("0.10"),
            "id": UUID(int=1),
            "for": timedelta(seconds=1.5),
            "day": date(2024, 5, 1),
            "who": "Åse\n",
        }
    )
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "at": "2024-05-01T10:00:00Z",
        "price": "0.10",
        "id": "00000000-0000-0000-0000-000000000001",
        "for": 1.5,
        "day": "2024-05-01",
        "who": "Åse\n",
    }
