"""The relay as a job, what the command line shows of the outbox, and how long what was delivered is kept."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from command_line import CommandLine
from outbox_lab import LEFT_OUT, NOTED, TRIPPED, Note, applied, execute
from storekeeper import record
from storekeeper.catalog import Effect
from storekeeper.jobs import Skipped, history, run_job
from storekeeper.jobs.runs import server_now
from storekeeper.ledger.catalogues import record_catalogue
from storekeeper.platform import Platform, connect


def recorded(platform: Platform, *texts: str, key: str = "a", effect: Effect = NOTED) -> None:
    with platform.postgres.begin() as connection:
        for text in texts:
            record(connection, effect, key=key, payload=Note(text=text))


def test_a_run_delivers_and_says_what_of_each_effect(platform: Platform, migrated_url: str) -> None:
    recorded(platform, "one", "two")
    recorded(platform, "three", key="b", effect=TRIPPED)
    recorded(platform, "poison", key="c", effect=TRIPPED)
    rehearsed = run_job(platform, "relay", dry_run=True)
    assert [(action.target, action.rows) for action in rehearsed.report.actions] == [("storekeeper.outbox", 4)]
    assert applied(migrated_url) == []

    run = run_job(platform, "relay")
    assert {(action.target, action.rows) for action in run.report.actions} == {("lab.noted", 2), ("lab.tripped", 1)}
    (skipped,) = run.report.skipped
    assert (skipped.verb, skipped.target) == ("deliver", "lab.tripped 4")
    assert skipped.reason.startswith("TrippedError at ")
    assert len(applied(migrated_url)) == 3
    assert [known.id for known in history(platform)] == [run.id]
    assert run_job(platform, "relay").id is None


def test_a_rehearsal_names_what_nobody_declares(platform: Platform) -> None:
    recorded(platform, "left out", effect=LEFT_OUT)
    run = run_job(platform, "relay", dry_run=True)
    assert run.report.skipped == (Skipped("deliver", "gone.noted", "no domain of the catalogue declares it"),)


def test_what_was_delivered_is_deleted_after_a_week(platform: Platform, migrated_url: str) -> None:
    with platform.postgres.begin() as connection:
        connection.execute(record_catalogue(platform.catalog))
    recorded(platform, "old", "new", "waiting")
    execute(
        migrated_url,
        "UPDATE storekeeper.outbox SET delivered_at = now() - CASE id WHEN 1 THEN interval '8 days' ELSE '6 days' END"
        " WHERE id < 3",
    )
    execute(migrated_url, "UPDATE storekeeper.outbox SET recorded_at = now() - interval '1 year'")
    run = run_job(platform, "cleanup")
    assert [(action.target, action.rows) for action in run.report.actions] == [("storekeeper.outbox", 1)]
    with platform.postgres.begin() as connection:
        assert connection.execute(sa.text("SELECT id FROM storekeeper.outbox ORDER BY id")).scalars().all() == [2, 3]
    assert run_job(platform, "cleanup", as_of=server_now(platform) - timedelta(days=1)).report.actions == ()


def test_the_command_line_lists_what_is_undelivered_and_why(commands: CommandLine, migrated_url: str) -> None:
    assert "everything is delivered" in commands("outbox", "list").out
    with connect(stores=("postgres",), postgres_url=migrated_url) as platform:
        recorded(platform, "left out", effect=LEFT_OUT)
    execute(
        migrated_url,
        "UPDATE storekeeper.outbox SET attempts = 2, last_error = 'UnavailableError: redis is away',"
        " next_attempt_at = now() + interval '1 hour'",
    )
    shown = commands("outbox", "list").out
    assert "redis is away" in shown
    assert "gone.noted: no domain of the catalogue declares it, so it stays" in shown
    assert "left out" not in shown.replace("no domain", "")
    told = commands("outbox", "list", "--failed", "--json").json
    assert (told["undelivered"], told["unknown"]) == (1, ["gone.noted"])
    (effect,) = told["effects"]
    assert (effect["position"], effect["effect"], effect["key"], effect["attempts"]) == (1, "gone.noted", "a", 2)
    assert "payload" not in effect
