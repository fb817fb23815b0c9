"""What a failure looks like on the command line: one clear error, and an exit code that means something."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from storekeeper.errors import (
    ArchiveError,
    AuditError,
    BackupError,
    ConstraintError,
    DeclarationError,
    InputError,
    JobError,
    LifecycleError,
    MigrationError,
    OperationError,
    SealingError,
    ServerError,
    SettingsError,
    StoreError,
    StorekeeperError,
)

#: Exit codes, looked up in this order; any other error of storekeeper's is 1. 2 is also a wrong command line.
EXIT_CODES: tuple[tuple[type[StorekeeperError], int], ...] = (
    (InputError, 2),
    (SettingsError, 2),
    (DeclarationError, 2),
    (OperationError, 2),  # what a domain's rules forbid
    (ConstraintError, 2),  # rows that break a rule of the schema
    (StoreError, 3),
    (ArchiveError, 3),
    (LifecycleError, 4),
    (MigrationError, 5),
    (JobError, 6),
    (BackupError, 7),
    (ServerError, 8),
    (SealingError, 9),
    (AuditError, 9),
)
INTERRUPTED = 128 + signal.SIGINT


def exit_code(error: StorekeeperError) -> int:
    """The exit code of the program for this error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def report(error: StorekeeperError, *, as_json: bool) -> None:
    """Writes the error to standard error, as text or as one JSON object."""
    if as_json:
        fields = {
            "error": type(error).__name__,
            "operation": error.operation,
            "target": error.target,
            "cause": error.cause,
            "hint": error.hint,
            "retryable": error.retryable,
        }
        print(json.dumps(fields), file=sys.stderr)  # noqa: T201  # the program's own output
        return
    from rich.console import Console
    from rich.markup import escape

    text, _, hint = str(error).partition("\nHINT: ")
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"[bold red]error:[/] {escape(text)}")
    if hint:
        console.print(f"[cyan] hint:[/] {escape(hint)}")


@contextmanager
def reported(*, as_json: bool) -> Iterator[None]:
    """Turns an error of storekeeper's, or Ctrl-C, into a message and an exit code."""
    try:
        yield
    except StorekeeperError as error:
        report(error, as_json=as_json)
        raise SystemExit(exit_code(error)) from error
    except KeyboardInterrupt as error:
        print("interrupted; run the same command again to go on", file=sys.stderr)  # noqa: T201  # the program's own output
        raise SystemExit(INTERRUPTED) from error
    except BrokenPipeError as error:
        # the reader of our output has gone (`| head`): nothing is left to say
        sys.stderr.close()
        raise SystemExit(128 + signal.SIGPIPE) from error
