"""`storekeeper run` as a service manager has it: one at a time, stopped by SIGTERM, replaced at once after kill -9."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from command_line import CommandLine

pytestmark = pytest.mark.faults

#: The domain that ships with the package, without its backups: these would be made at the start.
CATALOG = """
from storekeeper import Catalog
from storekeeper.domains import invest
CATALOG = Catalog((invest.DOMAIN,))
"""


@contextmanager
def scheduler(commands: CommandLine) -> Iterator[subprocess.Popen[str]]:
    """One that holds the lock and has begun to run jobs."""
    with commands.started("run", "--catalog", "nightly:CATALOG") as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert f":{process.pid} runs rollups (every 5m), " in first, first + process.stderr.read()
        yield process


def test_schedulers_follow_one_another(commands: CommandLine) -> None:
    (commands.folder / "nightly.py").write_text(CATALOG)
    with scheduler(commands) as first:
        refused = commands.process("run", "--catalog", "nightly:CATALOG", "--json", code=6)
        assert refused.error["error"] == "AlreadyRunningError"
        assert f":{first.pid} since" in refused.error["cause"]
        assert refused.error["retryable"] is True
        first.kill()
        first.wait(20)
    with scheduler(commands) as second:
        second.send_signal(signal.SIGTERM)
        _, err = second.communicate(timeout=60)
        assert second.returncode == 0, err
        assert "Traceback" not in err
    states = {run["state"] for run in commands("jobs", "history", "--json").json}
    assert states <= {"done", "failed", "died", "cancelled"}, "none is taken to be running"
