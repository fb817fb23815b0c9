"""Backups as jobs: one full backup a store, with a row in the run ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pymongo
import pytest

from storekeeper.backups import check_backup, list_backups, repository_at
from storekeeper.jobs import history, run_job
from storekeeper.platform import Platform, connect
from storekeeper.servers import RunningStack

MOMENT = datetime(2014, 5, 7, 2, tzinfo=UTC)


@pytest.fixture
def platform(stack: RunningStack, migrated_url: str, mongo_prefix: str, tmp_path: Path) -> Iterator[Platform]:
    with connect(
        postgres_url=migrated_url,
        timescale_url=migrated_url,
        mongo_url=stack.urls.mongo,
        redis_url=stack.urls.redis,
        mongo_database=mongo_prefix,
        backups=tmp_path / "backups",
    ) as opened:
        with pymongo.MongoClient[dict[str, object]](stack.urls.mongo) as client:
            client[f"{mongo_prefix}_invest"]["logs"].insert_one({"message": "started"})
        yield opened


@pytest.mark.parametrize("store", ["postgres", "mongo", "redis"])
def test_a_dry_run_says_what_the_backup_does(platform: Platform, store: str) -> None:
    rehearsed = run_job(platform, f"backup-{store}", as_of=MOMENT, dry_run=True)
    assert list_backups(repository_at(platform.settings)) == ()
    real = run_job(platform, f"backup-{store}", as_of=MOMENT)
    (planned,), (made,) = rehearsed.report.actions, real.report.actions
    assert (planned.verb, planned.target, planned.detail) == (made.verb, made.target, made.detail)
    (listed,) = list_backups(repository_at(platform.settings))
    assert made.target == f"{listed.server}/{listed.label}"
    assert made.bytes is not None
    assert made.bytes > 0
    check_backup(repository_at(platform.settings), listed.server, listed.label)
    assert history(platform) == (real,)


def test_stores_of_one_cluster_share_a_backup(platform: Platform) -> None:
    first = run_job(platform, "backup-postgres", as_of=MOMENT)
    second = run_job(platform, "backup-timescale", as_of=MOMENT)
    (skipped,) = second.report.skipped
    assert skipped.target == first.report.actions[0].target
    assert "is there already" in skipped.reason
    assert second.state == "done"
    assert second.outcome.endswith("1 skipped")
    # until the interval of timescale's own rule has passed
    within = run_job(platform, "backup-timescale", as_of=MOMENT + timedelta(days=6))
    assert [skipped.target for skipped in within.report.skipped] == [first.report.actions[0].target]
    after = run_job(platform, "backup-timescale", as_of=MOMENT + timedelta(days=8), dry_run=True)
    assert len(after.report.actions) == 1
