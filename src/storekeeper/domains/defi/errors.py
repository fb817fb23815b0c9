"""Failures of the defi domain's operations that callers tell apart."""

from __future__ import annotations

from storekeeper import ConflictError, DamagedArchiveError as DamagedArchiveError, RefusedError


class StreamConflictError(ConflictError):
    """Another writer appended to the stream first.

    The transaction goes on: nothing was written. Read the stream from the expected version, decide again, append.
    """


class ArchivedEventsError(RefusedError):
    """Some of the events have left the database for the archive, and no archive was given."""


class SettledError(RefusedError):
    """The intent is no longer in the state that this step starts from."""
