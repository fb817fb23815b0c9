"""Nights pass: the jobs that keep the data in order, run as of one night after another, and a backup of each server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from storekeeper.cli.output import console, size, table
from storekeeper.jobs import Action, Run, run_job
from storekeeper.platform import Platform

#: Nights after the minute prices, which end with 2022-08-22.
NIGHTS = (
    datetime(2022, 8, 18, 3, tzinfo=UTC),
    datetime(2022, 8, 19, 3, tzinfo=UTC),
    datetime(2022, 8, 20, 3, tzinfo=UTC),
    datetime(2022, 8, 21, 3, tzinfo=UTC),
    datetime(2022, 8, 23, 3, tzinfo=UTC),
)
#: A night two years later, after the prices of the pools.
LATER = (datetime(2024, 10, 1, 3, tzinfo=UTC),)
JOBS = ("rollups", "compression", "retention")
BACKUPS = ("backup-postgres", "backup-timescale", "backup-mongo", "backup-redis")


def pass_nights(platform: Platform, nights: Sequence[datetime]) -> None:
    """Runs the jobs of each night, and prints a line a night."""
    rows = []
    left_out: dict[str, str] = {}
    for night in nights:
        runs = {name: run_job(platform, name, as_of=night) for name in JOBS}
        for run in runs.values():
            left_out |= {f"{skipped.verb} {skipped.target}": skipped.reason for skipped in run.report.skipped}
        rows.append((f"{night:%Y-%m-%d}", *_night(runs)))
    columns = ("night", "buckets refreshed", "chunks compressed", "chunks dropped", "rows dropped")
    table("", columns, rows, right=columns[1:])
    for what, reason in left_out.items():
        console().print(f"left out on the last night: {what}: {reason}")


def _night(runs: dict[str, Run]) -> tuple[str, str, str, str]:
    dropped = _of(runs["retention"], "drop chunk")
    refreshed = [*_of(runs["rollups"], "refresh"), *_of(runs["retention"], "refresh")]
    return (
        f"{sum(action.rows or 0 for action in refreshed):,}",
        f"{len(_of(runs['compression'], 'compress')):,}",
        f"{len(dropped):,}",
        f"{sum(action.rows or 0 for action in dropped):,}",
    )


def _of(run: Run, verb: str) -> list[Action]:
    return [action for action in run.report.actions if action.verb == verb]


def back_up(platform: Platform) -> None:
    """A full backup of each server, all of one moment: that of a server serves both stores that are on it."""
    moment = platform.clock.now()
    rows: list[tuple[str, str, str, str, str]] = []
    for name in BACKUPS:
        run = run_job(platform, name, as_of=moment)
        took = f"{run.seconds or 0:.1f} s"
        rows += [(name, action.target, action.detail, size(action.bytes), took) for action in run.report.actions]
        rows += [(name, "", skipped.reason, "", took) for skipped in run.report.skipped]
    table("", ("job", "backup", "what", "size", "took"), rows, right=("size", "took"))
