"""What a run says that it did survives the ledger, and counts what it can."""

from __future__ import annotations

import json

import pytest

from storekeeper.errors import JobFailedError, NotVerifiedError, UnavailableError
from storekeeper.jobs.each import each
from storekeeper.jobs.job import Action, Report, Skipped, Steps

DROPPED = Action("drop chunk", "invest.intraday_prices_p20140507", "detached, then dropped", rows=390, bytes=65536)
RAISED = Action("raise watermark", "invest.intraday_prices")
LEFT = Skipped("compress", "invest.intraday_prices_p20140501", "not supported by plain PostgreSQL partitions")


def test_a_report_comes_back_from_json_as_it_was() -> None:
    report = Report.of([RAISED, LEFT, DROPPED])
    assert Report.from_json(json.loads(json.dumps(report.as_json()))) == report
    assert report.actions == (RAISED, DROPPED)
    assert report.skipped == (LEFT,)


def test_keys_of_a_newer_version_are_left_aside() -> None:
    assert Report.from_json([{"verb": "drop chunk", "target": "x", "seconds": 3}]) == Report(
        (Action("drop chunk", "x"),)
    )


def test_totals_count_what_is_counted() -> None:
    report = Report((DROPPED, DROPPED, RAISED))
    assert (report.rows, report.bytes) == (780, 131072)
    assert Report((RAISED,)).rows is None


def test_one_target_that_fails_does_not_keep_the_others_waiting() -> None:
    def work(target: str) -> Steps:
        if target.startswith("bad"):
            raise NotVerifiedError("two buckets differ", operation="verify", target=target)
        yield Action("drop chunk", target)

    with pytest.raises(NotVerifiedError, match="verify bad"):
        list(each(["bad"], work))
    assert [action.target for action in _collect(each(["a", "bad", "b"], work), NotVerifiedError)] == ["a", "b"]
    several = _collect(each(["bad1", "a", "bad2"], work), JobFailedError)
    assert [action.target for action in several] == ["a"]


def test_a_server_that_is_gone_ends_the_job_at_once() -> None:
    tried = []

    def work(target: str) -> Steps:
        tried.append(target)
        raise UnavailableError
        yield

    assert _collect(each(["a", "b"], work), UnavailableError) == []
    assert tried == ["a"]


def _collect(steps: Steps, expected: type[Exception]) -> list[Action | Skipped]:
    found: list[Action | Skipped] = []
    with pytest.raises(expected):
        found.extend(steps)
    return found
