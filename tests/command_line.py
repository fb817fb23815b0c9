"""The command line as users have it: a process of its own; or in this one, where nothing about processes is asked."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The one JSON object on standard error."""
        (line,) = self.err.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


@dataclass(frozen=True, slots=True)
class CommandLine:
    """storekeeper in a folder, with these settings in the environment and no others."""

    folder: Path
    settings: Mapping[str, str]

    def __call__(self, *arguments: object, code: int = 0, **settings: str) -> Answer:
        """Runs a command in this process. It has to end with `code`."""
        from storekeeper.cli.app import app

        changed: dict[str, str | None] = {name: None for name in os.environ if name.startswith("STOREKEEPER_")}
        changed |= self.settings
        changed |= settings
        with contextlib.chdir(self.folder):
            result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=changed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return checked(Answer(result.exit_code, result.stdout, result.stderr), arguments, code)

    def process(self, *arguments: object, code: int = 0, **settings: str) -> Answer:
        """Runs a command in a process of its own. It has to end with `code`."""
        with self.started(*arguments, **settings) as process:
            out, err = process.communicate(timeout=200)
        return checked(Answer(process.returncode, out, err), arguments, code)

    @contextlib.contextmanager
    def started(self, *arguments: object, **settings: str) -> Iterator[subprocess.Popen[str]]:
        """A command under way; killed with the block, if it has not ended by then."""
        process = subprocess.Popen(
            [sys.executable, "-m", "storekeeper", *map(str, arguments)],
            cwd=self.folder,
            env={**clean_environment(), **self.settings, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=30)


def clean_environment() -> dict[str, str]:
    """The environment without settings of storekeeper's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STOREKEEPER_")}


def checked(answer: Answer, arguments: tuple[object, ...], code: int) -> Answer:
    command = " ".join(map(str, arguments))
    assert answer.code == code, f"{command}: {answer.code}\n{answer.out}\n{answer.err}"
    assert "Traceback" not in answer.err, f"{command}: {answer.err}"
    return answer
