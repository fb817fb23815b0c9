"""The scheduler: fires the jobs at their ticks, in the foreground, one scheduler at a time. APScheduler keeps no state:
what is due is worked out from the run ledger, at the start and at every firing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from storekeeper.clock import SystemClock
from storekeeper.errors import JobFailedError, StorekeeperError, UnavailableError
from storekeeper.jobs.exclusive import Held, exclusively, runner
from storekeeper.jobs.job import Every, Job
from storekeeper.jobs.runs import cut_off, last_runs, newest_tick, run_tick, server_now
from storekeeper.jobs.schedule import GRACE, due, jobs_of, latest_tick, next_tick
from storekeeper.jobs.stopping import stop_on_signals
from storekeeper.ledger.locks import scheduler_lock

if TYPE_CHECKING:
    from storekeeper.platform import Platform

_log = logging.getLogger("storekeeper.jobs")

#: How often the scheduler asks whether its lock is still its own, and after how long it tries again what may yet work.
_HEARTBEAT = timedelta(seconds=5)
_RETRY = timedelta(minutes=1)

#: APScheduler fires by the machine's clock, whatever clock the platform was given.
_MACHINE = SystemClock()


def serve(
    platform: Platform,
    *,
    stop: threading.Event | None = None,
    jobs: Sequence[Job] | None = None,
    deadline: timedelta = timedelta(seconds=30),
) -> tuple[str, ...]:
    """Runs the jobs at their ticks until `stop` is set (None: until SIGINT or SIGTERM).

    At first those run that were missed, as each job declares.
    Different jobs run at the same time, each in a thread; a job never twice at once. At the end running jobs stop after
    the action at hand; after `deadline` they are cut off, and marked so in the ledger. Returns the names of those: they
    end with the process. What ran, and what failed, is in the ledger, and in the log "storekeeper.jobs".

    Raises AlreadyRunningError, which names the other one, where a scheduler runs on the same store; UnavailableError
    when the connection that holds the scheduler's lock is lost: then start it again, as a service manager does.
    """
    chosen = tuple(jobs) if jobs is not None else jobs_of(platform.catalog)
    lock = exclusively(
        platform.url("postgres", direct=True),
        scheduler_lock(),
        operation="run",
        target="scheduler",
        connect_timeout=platform.settings.connect_timeout,
    )
    with ExitStack() as block:
        held = block.enter_context(lock)
        ending = stop if stop is not None else block.enter_context(stop_on_signals())
        last_runs(platform)  # a ledger that cannot be read is said now, not at the first tick
        firing = _Firing(platform, chosen)
        firing.start()
        _log.info("scheduler %s runs %s", runner(), ", ".join(firing.described()))
        try:
            _watch(held, ending)
        finally:
            left = firing.end(deadline)
        reason = f"did not end within {deadline.total_seconds():g} s after the scheduler was stopped"
        for name in left:
            cut_off(platform, name, reason)
            _log.error("%s: cut off: %s", name, reason)
        return left


def _watch(held: Held, stop: threading.Event) -> None:
    """Waits for `stop`; looks after the lock meanwhile."""
    while not stop.wait(_HEARTBEAT.total_seconds()):
        try:
            held.check()
        except UnavailableError as error:
            raise UnavailableError(
                "the connection that holds the scheduler's lock was lost",
                operation="run",
                target="scheduler",
                hint="start it again when the server is back, as a service manager does; what was missed is run then",
            ) from error


class _Firing:
    """The jobs, and the clockwork that fires them."""

    def __init__(self, platform: Platform, jobs: tuple[Job, ...]) -> None:
        self._platform = platform
        self._scheduled = tuple((job, job.schedule) for job in jobs if job.schedule is not None)
        self._ending = threading.Event()
        self._threads = _Threads()
        self._clockwork = BackgroundScheduler(
            timezone=UTC, jobstores={"default": MemoryJobStore()}, executors={"default": self._threads}
        )

    def start(self) -> None:
        """Fires every job once, for what it missed, and then at its ticks."""
        now = _MACHINE.now()
        for job, schedule in self._scheduled:
            self._clockwork.add_job(
                self._fire,
                _Ticks(schedule),
                args=(job, schedule),
                id=job.name,
                next_run_time=now,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,  # never too late: the ledger says what is due, the job what is forgotten
            )
        self._clockwork.start()

    def end(self, deadline: timedelta) -> tuple[str, ...]:
        """Fires no more, lets running jobs come to an end; the names of those that did not."""
        self._ending.set()
        self._clockwork.shutdown(wait=False)
        return self._threads.join(deadline)

    def described(self) -> tuple[str, ...]:
        return tuple(f"{job.name} ({schedule})" for job, schedule in self._scheduled)

    def _fire(self, job: Job, schedule: Every) -> None:
        """Runs the ticks of a job that are due; failures are in the ledger, so that the scheduler goes on."""
        try:
            for tick in due(job, newest_tick(self._platform, job), self._now(schedule)):
                if self._ending.is_set():
                    return
                self._run(job, tick)
        except StorekeeperError as error:
            _log.error("%s: %s", job.name, error)
            if error.retryable and not self._ending.is_set():
                again = _MACHINE.now() + _RETRY
                self._clockwork.modify_job(job.name, next_run_time=min(again, next_tick(schedule, again)))
        except Exception:  # noqa: BLE001  # a defect of one job is written down, and does not stop the others
            _log.exception("%s: a defect", job.name)

    def _run(self, job: Job, tick: datetime) -> None:
        try:
            run = run_tick(self._platform, job, tick, stop=self._ending)
        except JobFailedError as error:
            _log.error("%s as of %s: %s", job.name, tick.isoformat(), error)
            return
        if run is not None and run.id is not None:
            _log.info("%s as of %s: %s in %.1f s: %s", job.name, tick.isoformat(), run.state, run.seconds, run.outcome)

    def _now(self, schedule: Every) -> datetime:
        """The server's now. Where its clock is behind ours, which has just fired, waits for the tick."""
        now = server_now(self._platform)
        expected = latest_tick(schedule, _MACHINE.now())
        if not now < expected <= GRACE.after(now):
            return now
        self._ending.wait((expected - now).total_seconds())
        return max(expected, server_now(self._platform))


class _Ticks(BaseTrigger):  # type: ignore[misc]  # APScheduler is untyped
    """Fires at the ticks of a schedule; they do not depend on when the process started."""

    def __init__(self, schedule: Every) -> None:
        self._schedule = schedule

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        return next_tick(self._schedule, now)


class _Threads(BaseExecutor):  # type: ignore[misc]  # APScheduler is untyped
    """A daemon thread a firing: one that does not end cannot keep the process from ending."""

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[str, threading.Thread] = {}

    def join(self, deadline: timedelta) -> tuple[str, ...]:
        """Waits for the running threads; the names of the jobs that went on longer than `deadline`."""
        until = time.monotonic() + deadline.total_seconds()
        for thread in list(self._running.values()):
            thread.join(max(0.0, until - time.monotonic()))
        return tuple(name for name, thread in self._running.items() if thread.is_alive())

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        thread = threading.Thread(target=self._fire, args=(job, run_times), name=f"job {job.id}", daemon=True)
        self._running[job.id] = thread
        thread.start()

    def _fire(self, job: Any, run_times: list[datetime]) -> None:
        self._run_job_success(job.id, run_job(job, job._jobstore_alias, run_times, self._logger.name))
