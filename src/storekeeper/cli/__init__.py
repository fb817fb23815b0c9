"""The command line: parse, call, render."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """The `storekeeper` program. A catalogue of one's own may lie in the current folder."""
    sys.path.append(str(Path.cwd()))  # last: it shadows nothing
    try:
        from storekeeper.cli.app import app

        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # before a command had begun
