"""Running a job: one at a time, written down in the run ledger whatever comes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from storekeeper.clock import as_utc
from storekeeper.errors import (
    AheadOfClockError,
    AlreadyRunningError,
    DriftError,
    JobFailedError,
    NotMigratedError,
    StorekeeperError,
)
from storekeeper.jobs.exclusive import exclusively, runner
from storekeeper.jobs.job import Action, Job, Report, Skipped
from storekeeper.jobs.schedule import job_named, jobs_of
from storekeeper.ledger import runs as ledger
from storekeeper.ledger.locks import job_lock
from storekeeper.migrations import applied_catalogue

if TYPE_CHECKING:
    from storekeeper.platform import Platform

#: How long the ledger keeps what a quiet job did.
QUIET_RUNS_KEPT = timedelta(days=7)

#: Is told of each thing as soon as it is done.
Tell = Callable[[Action | Skipped], None]


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a job, as the ledger holds it; of a dry run, and of a quiet one that did nothing, there is no row, and
    so no `id`.

    `tick` is the scheduled instant, None where it was run by hand; times are aware UTC.
    """

    job: str
    as_of: datetime
    state: ledger.RunState
    report: Report
    started_at: datetime
    finished_at: datetime | None
    runner: str
    reason: str | None = None
    tick: datetime | None = None
    dry_run: bool = False
    id: int | None = None

    @property
    def seconds(self) -> float | None:
        """How long it ran; None while it runs."""
        return None if self.finished_at is None else (self.finished_at - self.started_at).total_seconds()

    @property
    def outcome(self) -> str:
        """In a few words: why it did not end well, or how much it did and left out."""
        if self.reason is not None:
            return self.reason
        count = len(self.report.actions)
        done = f"{count} action{'' if count == 1 else 's'}"
        return f"{done}, {len(self.report.skipped)} skipped" if self.report.skipped else done

    def as_json(self) -> dict[str, object]:
        """As machines read it; times are left as they are."""
        shown = {name: getattr(self, name) for name in ("id", "job", "tick", "as_of", "dry_run", "state", "runner")}
        times = {"started_at": self.started_at, "finished_at": self.finished_at, "seconds": self.seconds}
        return shown | times | {"reason": self.reason, "report": self.report.as_json()}


def run_job(
    platform: Platform,
    job: str | Job,
    *,
    as_of: datetime | None = None,
    dry_run: bool = False,
    allow_future: bool = False,
    stop: threading.Event | None = None,
    tell: Tell | None = None,
) -> Run:
    """Runs a job now, as of a moment (the server's now where None), and returns what it did.

    A dry run says what a run would do, and changes nothing: it takes no lock and leaves no row; it may look ahead.
    `stop`, once set, calls the run off between two of its actions; the state is "cancelled" then.

    Raises AlreadyRunningError while the same job runs elsewhere; AheadOfClockError for a destructive job as of a moment
    that the server's clock has not reached, unless `allow_future`; DriftError for a destructive job where the catalogue
    is not the one that was applied; JobFailedError, from the cause, where the job fails.
    """
    wanted = job_named(job, jobs_of(platform.catalog)) if isinstance(job, str) else job
    if dry_run:
        return _rehearsed(platform, wanted, as_of, stop, tell)
    with _locked(platform, wanted):
        now = server_now(platform)
        run = _begun(platform, wanted, as_utc(as_of) if as_of is not None else now, None, now)
        assert run is not None, "only a tick can be taken"
        return _carried_out(platform, wanted, run, now if not allow_future else None, stop, tell)


def run_tick(
    platform: Platform,
    job: Job,
    tick: datetime,
    *,
    stop: threading.Event | None = None,
    tell: Tell | None = None,
) -> Run | None:
    """Runs a job for a scheduled instant, as of it. None where that tick was run before, by whomever.

    Raises as `run_job` does.
    """
    with _locked(platform, job):
        now = server_now(platform)
        run = _begun(platform, job, as_utc(tick), as_utc(tick), now)
        return None if run is None else _carried_out(platform, job, run, now, stop, tell)


def history(platform: Platform, limit: int = 20, job: str | None = None) -> tuple[Run, ...]:
    """The newest runs, newest first."""
    with platform.postgres.begin(operation="read", target="storekeeper.runs") as connection:
        return tuple(_run(ledger.decode_run(row)) for row in connection.execute(ledger.newest_runs(limit, job)))


def last_runs(platform: Platform) -> dict[str, Run]:
    """The newest run of each job that ever ran, by the job's name."""
    with platform.postgres.begin(operation="read", target="storekeeper.runs") as connection:
        rows = [ledger.decode_run(row) for row in connection.execute(ledger.last_runs())]
    return {row.job: _run(row) for row in rows}


def newest_tick(platform: Platform, job: Job) -> datetime | None:
    """The newest tick of this job that was run and not called off."""
    with platform.postgres.begin(operation="read", target="storekeeper.runs") as connection:
        found: datetime | None = connection.execute(ledger.newest_tick(job.name)).scalar_one()
        return found


def cut_off(platform: Platform, job: str, reason: str) -> None:
    """Marks this process' run of a job as cancelled, where it goes on although it was told to stop."""
    with platform.postgres.begin(operation="cut off run", target=job) as connection:
        connection.execute(ledger.cancel_runs(job, runner=runner(), reason=reason))


def server_now(platform: Platform) -> datetime:
    """What time it is by the clock of the server that keeps the ledger."""
    with platform.postgres.begin(operation="read", target="clock") as connection:
        moment: datetime = connection.execute(ledger.server_clock()).scalar_one()
    return as_utc(moment)


@contextmanager
def _locked(platform: Platform, job: Job) -> Iterator[None]:
    """Holds the job's lock; says since when it runs where another does."""
    lock = exclusively(
        platform.url("postgres", direct=True),
        job_lock(job.name),
        operation="run job",
        target=job.name,
        connect_timeout=platform.settings.connect_timeout,
    )
    with ExitStack() as held:
        try:
            held.enter_context(lock)
        except AlreadyRunningError as error:
            raise _elsewhere(platform, job, error) from error
        yield


def _elsewhere(platform: Platform, job: Job, refused: AlreadyRunningError) -> AlreadyRunningError:
    """The refusal with what the ledger knows of the other run; as it is where that just begins, or just ended."""
    with platform.postgres.begin(operation="read", target="storekeeper.runs") as connection:
        row = connection.execute(ledger.running(job.name)).one_or_none()
    if row is None:
        return refused
    other = ledger.decode_run(row)
    return AlreadyRunningError(
        f"runs since {_text(other.started_at)}, as of {_text(other.as_of)}, by {other.runner}",
        operation=refused.operation,
        target=refused.target,
        hint=refused.hint,
    )


def _begun(platform: Platform, job: Job, as_of: datetime, tick: datetime | None, now: datetime) -> Run | None:
    """Writes the run down; None where its tick is another's. The caller holds the job's lock.

    That of a quiet job is written when it has ended, if then.
    """
    if job.quiet:
        if tick is not None and (newest := newest_tick(platform, job)) is not None and newest >= tick:
            return None
        return Run(job.name, as_of, "running", Report(), now, None, runner(), tick=tick)
    with platform.postgres.begin(operation="begin run", target=job.name) as connection:
        connection.execute(ledger.bury_runs(job.name))
        statement = ledger.begin_run(job.name, as_of=as_of, runner=runner(), scheduled_at=tick)
        row = connection.execute(statement).one_or_none()
    return None if row is None else _run(ledger.decode_run(row))


def _carried_out(
    platform: Platform,
    job: Job,
    run: Run,
    now: datetime | None,
    stop: threading.Event | None,
    tell: Tell | None,
) -> Run:
    """Does the job and writes down how it ended; `now` None leaves as_of free."""
    done: list[Action | Skipped] = []
    try:
        if job.destructive:
            _refuse_ahead(job, run.as_of, now)
            _refuse_drift(platform, job)
        ended = _worked(platform, job, run.as_of, False, done, stop, tell)
    except BaseException as error:
        state: ledger.RunState = "failed" if isinstance(error, Exception) else "cancelled"
        try:
            _finished(platform, run, state, done, _reason(error))
        except StorekeeperError as unwritten:
            error.add_note(f"nor could the run ledger be told: {unwritten}")
        if isinstance(error, StorekeeperError) and not isinstance(error, (AheadOfClockError, DriftError)):
            raise _failed(job, error) from error
        raise
    return (
        _finished(platform, run, "done", done, None)
        if ended
        else _finished(platform, run, "cancelled", done, "it was told to stop")
    )


def _worked(
    platform: Platform,
    job: Job,
    as_of: datetime,
    dry_run: bool,
    done: list[Action | Skipped],
    stop: threading.Event | None,
    tell: Tell | None,
) -> bool:
    """Lets the job act and notes in `done` what it did; False where it was told to stop before its end."""
    with closing(job.function()(platform, as_of=as_of, dry_run=dry_run)) as steps:
        while stop is None or not stop.is_set():
            step = next(steps, None)
            if step is None:
                return True
            done.append(step)
            if tell is not None:
                tell(step)
    return False


def _rehearsed(
    platform: Platform, job: Job, as_of: datetime | None, stop: threading.Event | None, tell: Tell | None
) -> Run:
    started = server_now(platform)
    moment = as_utc(as_of) if as_of is not None else started
    done: list[Action | Skipped] = []
    if job.destructive:
        _refuse_drift(platform, job)
    try:
        ended = _worked(platform, job, moment, True, done, stop, tell)
    except StorekeeperError as error:
        raise _failed(job, error) from error
    state: ledger.RunState = "done" if ended else "cancelled"
    return Run(job.name, moment, state, Report.of(done), started, server_now(platform), runner=runner(), dry_run=True)


def _refuse_ahead(job: Job, as_of: datetime, now: datetime | None) -> None:
    if now is not None and as_of > now:
        raise AheadOfClockError(
            f"it is {_text(now)} by the server's clock, and {_text(as_of)} has not come",
            operation="run job",
            target=job.name,
            hint="what is taken away too early cannot be had again; --dry-run shows what that moment will take",
        )


def _refuse_drift(platform: Platform, job: Job) -> None:
    applied = applied_catalogue(platform)
    if applied is None:
        raise NotMigratedError(
            "no catalogue was applied", operation="run job", target=job.name, hint="run `storekeeper migrate`"
        )
    if applied.digest != platform.catalog.digest():
        raise DriftError(
            f"the catalogue of this process is not the one applied on {_text(applied.applied_at)}",
            operation="run job",
            target=job.name,
            hint="run `storekeeper migrate --plan`, then `storekeeper migrate`; or use the release that migrated last",
        )


def _finished(
    platform: Platform, run: Run, state: ledger.RunState, done: list[Action | Skipped], reason: str | None
) -> Run:
    report = Report.of(done)
    if run.id is None:
        return _noted(platform, run, state, report, reason)
    statement = ledger.finish_run(
        run.id, state, report=report.as_json(), rows=report.rows, bytes_=report.bytes, reason=reason
    )
    with platform.postgres.begin(operation="finish run", target=run.job) as connection:
        row = connection.execute(statement).one_or_none()
    if row is None:
        raise JobFailedError(
            "its lock was lost while it ran, and another run took it for dead",
            operation="run job",
            target=run.job,
            hint="what it did is done; the next run goes on from there",
        )
    return _run(ledger.decode_run(row))


def _noted(platform: Platform, run: Run, state: ledger.RunState, report: Report, reason: str | None) -> Run:
    """Writes down a run of a quiet job, now that it has ended; one that did nothing, and did not fail, is not."""
    if state != "failed" and not report.actions and not report.skipped:
        return replace(run, state=state, reason=reason, finished_at=server_now(platform))
    statement = ledger.note_run(
        run.job,
        state,
        as_of=run.as_of,
        runner=run.runner,
        scheduled_at=run.tick,
        started_at=run.started_at,
        report=report.as_json(),
        rows=report.rows,
        bytes_=report.bytes,
        reason=reason,
    )
    with platform.postgres.begin(operation="note run", target=run.job) as connection:
        connection.execute(ledger.forget_runs(run.job, older_than=QUIET_RUNS_KEPT))
        row = connection.execute(statement).one_or_none()
    return replace(run, state=state, report=report, reason=reason) if row is None else _run(ledger.decode_run(row))


def _failed(job: Job, error: StorekeeperError) -> JobFailedError:
    subject = " ".join(part for part in (error.operation, error.target) if part)
    return JobFailedError(
        f"{subject}: {error.cause}" if subject else error.cause,
        operation="run job",
        target=job.name,
        hint=error.hint or "`storekeeper jobs history` shows what it did before",
    )


def _reason(error: BaseException) -> str:
    """What the ledger keeps of an error; what was interrupted from outside has no text of its own."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return str(error) or type(error).__name__


def _text(moment: datetime) -> str:
    return f"{as_utc(moment):%Y-%m-%d %H:%M:%S} UTC"


def _run(row: ledger.RunRow) -> Run:
    return Run(
        job=row.job,
        as_of=row.as_of,
        state=row.state,
        report=Report.from_json(row.report),
        started_at=row.started_at,
        finished_at=row.finished_at,
        runner=row.runner,
        reason=row.reason,
        tick=row.scheduled_at,
        id=row.id,
    )
