"""One target's failure does not keep a job from the other targets, and is not forgotten either."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from storekeeper.errors import AuthenticationError, JobFailedError, PoolTimeoutError, StorekeeperError, UnavailableError
from storekeeper.jobs.job import Steps

T = TypeVar("T")

#: Failures of the server, not of the target: the other targets would only fail in the same way.
_OF_THE_SERVER = (UnavailableError, AuthenticationError, PoolTimeoutError)


def each(targets: Iterable[T], work: Callable[[T], Steps]) -> Steps:
    """Works through all targets, then raises what failed: the error itself, or JobFailedError where there are several.

    Ends at once where the server is gone.
    """
    failures: list[StorekeeperError] = []
    for target in targets:
        try:
            yield from work(target)
        except _OF_THE_SERVER:
            raise
        except StorekeeperError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise JobFailedError("; ".join(str(error).replace("\n", " ") for error in failures)) from failures[0]
