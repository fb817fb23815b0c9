"""Where a pool was opened: connections belong to one process and, where they are async, to one event loop."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from storekeeper.errors import ForkedError


@dataclass(frozen=True, slots=True)
class Origin:
    """The process, and the event loop where there is one, that something was opened in."""

    process: int
    loop: int | None = None

    def check(self, now: Origin, *, operation: str, target: str) -> None:
        """Raises ForkedError where `now` is another process or loop."""
        if now.process != self.process:
            raise ForkedError(
                f"opened in process {self.process}, used in process {now.process}",
                operation=operation,
                target=target,
                hint="open it in the process that uses it, after the fork; better: spawn workers instead of forking",
            )
        if now.loop != self.loop:
            raise ForkedError(
                "opened in another event loop than the one that uses it",
                operation=operation,
                target=target,
                hint="open and use it within one asyncio.run()",
            )


def here() -> Origin:
    """This process."""
    return Origin(os.getpid())


def here_async() -> Origin:
    """This process and its running event loop."""
    return Origin(os.getpid(), id(asyncio.get_running_loop()))
