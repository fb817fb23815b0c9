"""The run ledger: statements over storekeeper.runs, for the caller's transaction. Times are the server's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from storekeeper.ledger.tables import runs

#: `died`: its process ended without a word, and a later run found that out.
RunState = Literal["running", "done", "failed", "cancelled", "died"]


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of the ledger. `scheduled_at` is the tick, None where it was run by hand; `runner` is host and process."""

    id: int
    job: str
    scheduled_at: datetime | None
    as_of: datetime
    state: RunState
    runner: str
    started_at: datetime
    finished_at: datetime | None
    reason: str | None
    report: Sequence[dict[str, Any]]

    @property
    def took(self) -> timedelta | None:
        """How long it ran; None while it runs. Of a run that died, how long until that was found out."""
        return None if self.finished_at is None else self.finished_at - self.started_at


_COLUMNS = (
    runs.c.id,
    runs.c.job,
    runs.c.scheduled_at,
    runs.c.as_of,
    runs.c.state,
    runs.c.runner,
    runs.c.started_at,
    runs.c.finished_at,
    runs.c.reason,
    runs.c.report,
)


def decode_run(row: Sequence[Any]) -> RunRow:
    """The value of one row that `begin_run`, `finish_run` or `newest_runs` return."""
    return RunRow(*row)


def server_clock() -> sa.Select[Any]:
    """What time it is by the server's clock, inside a transaction too."""
    return sa.select(sa.func.clock_timestamp())


def begin_run(job: str, *, as_of: datetime, runner: str, scheduled_at: datetime | None = None) -> sa.Insert:
    """Notes that a run begins, and so claims its tick: returns no row where another run has claimed it.

    A run that was cancelled gives its tick back.
    """
    claim = insert(runs).values(job=job, scheduled_at=scheduled_at, as_of=as_of, runner=runner)
    return claim.on_conflict_do_nothing(
        index_elements=[runs.c.job, runs.c.scheduled_at],
        index_where=sa.and_(runs.c.scheduled_at.is_not(None), runs.c.state != sa.literal_column("'cancelled'")),
    ).returning(*_COLUMNS)


def finish_run(
    run: int,
    state: RunState,
    *,
    report: Sequence[dict[str, Any]],
    rows: int | None,
    bytes_: int | None,
    reason: str | None,
) -> sa.Update:
    """Notes how a run ended: returns no row where it was held to have died meanwhile."""
    return (
        sa.update(runs)
        .where(runs.c.id == run, runs.c.state == "running")
        .values(
            state=state,
            finished_at=sa.func.clock_timestamp(),
            report=list(report),
            rows=rows,
            bytes=bytes_,
            reason=reason,
        )
        .returning(*_COLUMNS)
    )


def note_run(
    job: str,
    state: RunState,
    *,
    as_of: datetime,
    runner: str,
    scheduled_at: datetime | None,
    started_at: datetime,
    report: Sequence[dict[str, Any]],
    rows: int | None,
    bytes_: int | None,
    reason: str | None,
) -> sa.Insert:
    """Notes a run that has ended, and whose beginning was not noted: returns no row where its tick is another's."""
    ended = insert(runs).values(
        job=job,
        scheduled_at=scheduled_at,
        as_of=as_of,
        state=state,
        runner=runner,
        started_at=started_at,
        finished_at=sa.func.clock_timestamp(),
        report=list(report),
        rows=rows,
        bytes=bytes_,
        reason=reason,
    )
    return ended.on_conflict_do_nothing().returning(*_COLUMNS)


def forget_runs(job: str, *, older_than: timedelta) -> sa.Delete:
    """Takes the runs of a job out of the ledger that ended longer ago than that."""
    return sa.delete(runs).where(runs.c.job == job, runs.c.finished_at < sa.func.clock_timestamp() - older_than)


def bury_runs(job: str) -> sa.Update:
    """Marks runs of this job that never ended as died. Only whoever holds the job's lock may say that."""
    return (
        sa.update(runs)
        .where(runs.c.job == job, runs.c.state == "running")
        .values(
            state="died",
            finished_at=sa.func.clock_timestamp(),
            reason="its process, or the server, ended before the run did",
        )
    )


def cancel_runs(job: str, *, runner: str, reason: str) -> sa.Update:
    """Marks a run of this job by this process, which has not ended, as cancelled."""
    return (
        sa.update(runs)
        .where(runs.c.job == job, runs.c.state == "running", runs.c.runner == runner)
        .values(state="cancelled", finished_at=sa.func.clock_timestamp(), reason=reason)
    )


def running(job: str) -> sa.Select[Any]:
    """The newest run of this job that did not end yet."""
    return (
        sa.select(*_COLUMNS)
        .where(runs.c.job == job, runs.c.state == "running")
        .order_by(runs.c.started_at.desc())
        .limit(1)
    )


def newest_tick(job: str) -> sa.Select[Any]:
    """The newest tick of this job that was run and not called off; null where there is none."""
    return sa.select(sa.func.max(runs.c.scheduled_at)).where(runs.c.job == job, runs.c.state != "cancelled")


def newest_runs(limit: int, job: str | None = None) -> sa.Select[Any]:
    """The ledger, newest first."""
    statement = sa.select(*_COLUMNS).order_by(runs.c.started_at.desc(), runs.c.id.desc()).limit(limit)
    return statement if job is None else statement.where(runs.c.job == job)


def last_runs() -> sa.Select[Any]:
    """The newest run of every job."""
    newest = sa.select(sa.func.max(runs.c.id)).group_by(runs.c.job)
    return sa.select(*_COLUMNS).where(runs.c.id.in_(newest)).order_by(runs.c.job)
