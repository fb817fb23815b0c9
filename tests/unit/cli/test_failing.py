"""How failures leave the program: every class of error has its exit code, and one shape on standard error."""

from __future__ import annotations

import json

import pytest

from storekeeper import errors
from storekeeper.cli.app import EPILOG
from storekeeper.cli.failing import EXIT_CODES, exit_code, report, reported
from storekeeper.errors import InputFileError, StorekeeperError, UnavailableError

FAMILIES = {
    "SettingsError": 2,
    "DeclarationError": 2,
    "InputError": 2,
    "OperationError": 2,
    "ConstraintError": 2,
    "StoreError": 3,
    "ArchiveError": 3,
    "LifecycleError": 4,
    "MigrationError": 5,
    "JobError": 6,
    "BackupError": 7,
    "ServerError": 8,
    "SealingError": 9,
    "AuditError": 9,
}


def classes() -> list[type[StorekeeperError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return [value for value in found if issubclass(value, StorekeeperError) and value is not StorekeeperError]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_error_has_the_exit_code_of_its_family(kind: type[StorekeeperError]) -> None:
    family = next(base.__name__ for base in kind.__mro__ if base.__name__ in FAMILIES)
    assert exit_code(kind()) == FAMILIES[family]


def test_the_help_tells_every_exit_code() -> None:
    told = {int(word) for word in EPILOG.replace(",", " ").split() if word.isdecimal()}
    assert told == {0, 130, *(code for _, code in EXIT_CODES)}


def test_an_error_in_text(capsys: pytest.CaptureFixture[str]) -> None:
    """What stands in square brackets, as in a template or a path, is no markup."""
    error = InputFileError("is [bold]empty[/]", operation="read", target="[red]a.csv", hint="look [at] it")
    report(error, as_json=False)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "error: read [red]a.csv: is [bold]empty[/]\n hint: look [at] it\n")


def test_an_error_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, reported(as_json=True):
        raise UnavailableError("gone\nfor good", operation="open", target="redis", hint="start it")
    assert ended.value.code == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line) == {
        "error": "UnavailableError",
        "operation": "open",
        "target": "redis",
        "cause": "gone\nfor good",
        "hint": "start it",
        "retryable": True,
    }


def test_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, reported(as_json=False):
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted; run the same command again to go on\n"


def test_a_defect_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError), reported(as_json=False):
        _ = 1 // 0
