"""The jobs, and when they are due. Pure: which ticks there are, which were missed, which comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches

from storekeeper.catalog import BackupPolicy, Catalog, DomainJob
from storekeeper.clock import as_utc
from storekeeper.errors import DeclarationError
from storekeeper.jobs.job import Every, Job
from storekeeper.span import Span, days, hours, minutes, seconds

#: A tick of a job that forgets missed ones is run when it is no older than this.
GRACE = minutes(1)

#: What is done to the data, whatever is declared. Chunks are made before midnight needs them; retention refreshes and
#: verifies by itself, so its hour does not depend on the hours of the others.
UPKEEP: tuple[Job, ...] = (
    Job(
        "rollups",
        "storekeeper.jobs.rollups:run",
        Every(minutes(5)),
        "refreshes the windows of every rollup whose rows changed, from the finest to the coarsest",
        missed="one",
    ),
    Job(
        "partitions",
        "storekeeper.jobs.partitions:run",
        Every(hours(6), at=minutes(10)),
        "makes the chunks and partitions that the coming rows of every series and table will need",
        missed="one",
    ),
    Job(
        "views",
        "storekeeper.jobs.views:run",
        Every(minutes(15)),
        "refreshes the materialized views, while their readers go on",
        missed="one",
    ),
    Job(
        "cleanup",
        "storekeeper.jobs.cleanup:run",
        Every(hours(1), at=minutes(20)),
        "deletes relational rows that have expired or outlived their table's rule",
        destructive=True,
        missed="none",
    ),
    Job(
        "compression",
        "storekeeper.jobs.compression:run",
        Every(days(1), at=hours(3)),
        "compresses the chunks that are old enough, where the engine can",
        missed="one",
    ),
    Job(
        "retention",
        "storekeeper.jobs.retention:run",
        Every(days(1), at=hours(4)),
        "drops partitions that are old enough, and chunks after every rollup was refreshed and verified to hold them",
        destructive=True,
        missed="one",
    ),
    Job(
        "relay",
        "storekeeper.jobs.relay:run",
        Every(seconds(5)),
        "applies to the other stores what the outbox holds for them, in order",
        missed="one",
        quiet=True,
    ),
    Job(
        "audit",
        "storekeeper.jobs.audit:run",
        Every(seconds(5)),
        "seals what was appended to the audit log into its hash chain",
        missed="one",
        quiet=True,
    ),
    Job(
        "reseal",
        "storekeeper.jobs.reseal:run",
        None,
        "seals what earlier data keys sealed with the newest ones: by hand, after `keys rotate`",
    ),
)


def jobs_of(catalog: Catalog) -> tuple[Job, ...]:
    """The jobs of an installation: the upkeep, those of its domains, and a backup of each store, as its policy says or
    else by hand.

    The views are refreshed as often as the one of them that needs it most.
    """
    policies = {policy.store: policy for policy in catalog.backup_policies}
    shortest = min((view.every for view in catalog.views), key=lambda every: every.duration, default=None)
    upkeep = (
        replace(job, schedule=Every(shortest)) if job.name == "views" and shortest is not None else job
        for job in UPKEEP
    )
    return (
        *upkeep,
        *(_of_domain(job) for job in catalog.jobs),
        _backup("postgres", policies.get("postgres")),
        _backup("timescale", policies.get("timescale")),
        _backup("mongo", policies.get("mongo")),
        _backup("redis", policies.get("redis")),
    )


def job_named(name: str, jobs: tuple[Job, ...]) -> Job:
    """The job of this name. Raises DeclarationError."""
    for job in jobs:
        if job.name == name:
            return job
    names = [job.name for job in jobs]
    close = get_close_matches(name, names, n=3)
    raise DeclarationError("no such job", operation="run job", target=name, hint=f"known: {', '.join(close or names)}")


def ticks(schedule: Every, since: datetime, until: datetime) -> Iterator[datetime]:
    """The instants of a schedule in (since, until], in order. They do not depend on when anybody asks."""
    tick = latest_tick(schedule, since)
    while (tick := _after(schedule, tick)) <= until:
        yield tick


def latest_tick(schedule: Every, moment: datetime) -> datetime:
    """The last instant of the schedule that is not after `moment`."""
    return schedule.span.floor(as_utc(moment) - schedule.offset) + schedule.offset


def next_tick(schedule: Every, moment: datetime) -> datetime:
    """The first instant of the schedule after `moment`."""
    return _after(schedule, latest_tick(schedule, moment))


def due(job: Job, last: datetime | None, now: datetime) -> tuple[datetime, ...]:
    """The ticks to run now, in order, when `last` is the newest that ran (None: no tick of this job ever did).

    A job that never ran is due for the newest tick, unless it forgets what it missed.
    """
    if job.schedule is None:
        return ()
    newest = latest_tick(job.schedule, now)
    if last is not None and newest <= last:
        return ()
    if job.missed == "none":
        return (newest,) if newest >= GRACE.before(now) else ()
    if job.missed == "one" or last is None:
        return (newest,)
    return tuple(ticks(job.schedule, max(last, job.missed.span.before(now)), now))


def _after(schedule: Every, tick: datetime) -> datetime:
    return schedule.span.after(tick - schedule.offset) + schedule.offset


def _of_domain(job: DomainJob) -> Job:
    schedule = Every(job.every, at=job.at)
    return Job(job.name, job.run, schedule, job.summary, destructive=job.destructive, missed="one", quiet=job.quiet)


def _backup(store: str, policy: BackupPolicy | None) -> Job:
    schedule = None if policy is None else Every(policy.full, at=_within(policy.at, policy.full))
    summary = f"makes a full backup of the {store} store"
    return Job(f"backup-{store}", f"storekeeper.jobs.backup_{store}:run", schedule, summary, missed="one")


def _within(at: Span | None, interval: Span) -> Span | None:
    """`at` counts from midnight; of an interval shorter than a day only what is left of it counts."""
    if at is None or interval.calendar or at.duration < interval.duration:
        return at
    rest = at.duration % interval.duration
    return Span(duration=rest) if rest else None
