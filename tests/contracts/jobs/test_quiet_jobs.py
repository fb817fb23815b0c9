"""A quiet job runs often: the ledger keeps what it did, and nothing of the runs that found nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from storekeeper.errors import JobFailedError, NotVerifiedError
from storekeeper.jobs import Action, Every, Job, Skipped, history, run_job
from storekeeper.jobs.job import Steps
from storekeeper.jobs.runs import newest_tick, run_tick
from storekeeper.platform import Platform
from storekeeper.span import seconds

TICK = datetime(2014, 5, 7, tzinfo=UTC)
QUIET = Job("dusts", f"{__name__}:dusts", Every(seconds(5)), quiet=True)

#: What the next run does.
steps: list[Action | Skipped | Exception] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    steps.clear()
    yield
    steps.clear()


def dusts(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    for step in steps:
        if isinstance(step, Exception):
            raise step
        yield step


def test_a_run_that_did_nothing_leaves_no_row(platform: Platform) -> None:
    run = run_tick(platform, QUIET, TICK)
    assert run is not None
    assert (run.id, run.state, run.outcome) == (None, "done", "0 actions")
    assert run.seconds is not None
    by_hand = run_job(platform, QUIET)
    assert (by_hand.id, by_hand.state) == (None, "done")
    assert history(platform) == ()
    assert newest_tick(platform, QUIET) is None


@pytest.mark.parametrize("step", [Action("dust", "shelf", rows=3), Skipped("dust", "shelf", "it is glass")])
def test_a_run_that_did_something_or_left_it_out_is_written_down(platform: Platform, step: Action | Skipped) -> None:
    steps.append(step)
    run = run_tick(platform, QUIET, TICK)
    assert run is not None
    assert run.id is not None
    (known,) = history(platform)
    assert known == run
    assert (known.state, known.tick, known.as_of) == ("done", TICK, TICK)
    assert known.report.as_json() == run.report.as_json() != []
    assert known.finished_at is not None
    assert known.finished_at >= known.started_at
    # its tick is taken, as that of any job
    assert run_tick(platform, QUIET, TICK) is None
    assert run_tick(platform, QUIET, TICK + timedelta(seconds=5)) is not None


def test_a_run_that_failed_is_written_down(platform: Platform) -> None:
    steps.extend([Action("dust", "shelf"), NotVerifiedError("the lamp fell")])
    with pytest.raises(JobFailedError, match="the lamp fell"):
        run_tick(platform, QUIET, TICK)
    steps[:] = [ZeroDivisionError("a defect")]
    with pytest.raises(ZeroDivisionError):
        run_job(platform, QUIET)
    assert [(run.state, run.reason) for run in history(platform)] == [
        ("failed", "a defect"),
        ("failed", "the lamp fell"),
    ]
    assert [len(run.report.actions) for run in history(platform)] == [0, 1]


def test_what_it_did_is_forgotten_after_a_week(platform: Platform) -> None:
    steps.append(Action("dust", "shelf"))
    first, second, third = (run_job(platform, QUIET) for _ in range(3))
    other = run_job(platform, Job("sweeps", f"{__name__}:dusts", None))
    with platform.postgres.begin() as connection:
        ages = ((first.id, 8), (second.id, 6), (other.id, 8))
        for run, days in ages:
            connection.execute(
                sa.text(
                    "UPDATE storekeeper.runs SET finished_at = now() - make_interval(days => :days) WHERE id = :id"
                ),
                {"id": run, "days": days},
            )
    fourth = run_job(platform, QUIET)
    assert [run.id for run in history(platform)] == [fourth.id, other.id, third.id, second.id]
