"""The list of commands, their help, and how moments are written on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from storekeeper import __version__
from storekeeper.cli.app import ORDER, app
from storekeeper.cli.options import before, moment
from storekeeper.errors import InputError


def help_of(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert result.exit_code == 0
    return result.stdout


def test_every_command_is_listed_in_order_with_a_whole_sentence() -> None:
    registered = {command.name for command in app.registered_commands}
    registered |= {group.name for group in app.registered_groups}
    assert set(ORDER) == registered
    listed = help_of().partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in listed] == list(ORDER)
    assert all(line.endswith(".") and not line.endswith("..") for line in listed), listed
    assert all(len(line) <= 80 for line in listed)


@pytest.mark.parametrize(
    "command",
    [
        *((name,) for name in ORDER),
        *(("migrate", name) for name in ("new", "status", "rollback", "stamp", "fresh")),
        *(("jobs", name) for name in ("list", "run", "history")),
        ("outbox", "list"),
        *(("archive", name) for name in ("list", "verify")),
        *(("keys", name) for name in ("rotate", "status")),
        *(("audit", name) for name in ("list", "verify")),
        *(("backup", name) for name in ("now", "list", "check")),
    ],
)
def test_every_option_is_explained(command: tuple[str, ...]) -> None:
    text = help_of(*command)
    options = text.partition("Options:\n")[2]
    bare = [line for line in options.splitlines() if line.strip().startswith("--") and len(line.split()) == 1]
    following = options.splitlines()
    for line in bare:
        assert following[following.index(line) + 1].startswith(" " * 10), f"{line} says nothing"
    assert text.partition("\n\n")[2].strip(), "and so is the command"


def test_the_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2022-08-23", datetime(2022, 8, 23, tzinfo=UTC)),
        ("2022-08-23T02:00", datetime(2022, 8, 23, 2, tzinfo=UTC)),
        ("2022-08-23T02:00+02:00", datetime(2022, 8, 23, tzinfo=UTC)),
        ("2022-08-23T02:00:01Z", datetime(2022, 8, 23, 2, 0, 1, tzinfo=UTC)),
    ],
)
def test_moments(text: str, meant: datetime) -> None:
    assert moment("--from", text) == meant
    assert moment("--from", None) is None


@pytest.mark.parametrize("text", ["", "now", "2022-13-01", "2022-8-23", "23.08.2022"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(InputError, match=r"read --from: .* is no moment"):
        moment("--from", text)


def test_a_length_before_a_moment() -> None:
    until = datetime(2022, 8, 31, tzinfo=UTC)
    assert before(until, "--last", "6mo") == datetime(2022, 2, 28, tzinfo=UTC)
    for text in ("9000y", "999999999d"):
        with pytest.raises(InputError, match=f"read --last: '{text}' is too long"):
            before(until, "--last", text)
