"""The relay delivers in order within a key, at least once, and nothing but what was committed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from random import Random

import psycopg
import pytest
import sqlalchemy as sa

from outbox_lab import DIED, LEFT_OUT, NOTED, NOWHERE, TRIPPED, Note, applied, execute, lab
from storekeeper import record
from storekeeper.catalog import Catalog, Domain, Effect
from storekeeper.platform import Platform
from storekeeper.relay import Delivered, deliver
from storekeeper.relay.delivering import undelivered

RELAY = """
import sys
from outbox_lab import lab
from storekeeper.relay import deliver

with lab(sys.argv[1]) as platform:
    deliver(platform)
"""


def recorded(platform: Platform, *texts: str, key: str = "a", effect: Effect = NOTED) -> None:
    """One transaction a text."""
    for text in texts:
        with platform.postgres.begin() as connection:
            record(connection, effect, key=key, payload=Note(text=text))


def test_what_was_committed_is_delivered_in_order_and_once(platform: Platform, migrated_url: str) -> None:
    recorded(platform, "one", "two")
    recorded(platform, "other", key="b")
    with platform.postgres.session() as session:
        record(session, NOTED, key="a", payload=Note(text="three"))
    assert deliver(platform) == Delivered(count=4, failed=0, left=0)
    assert deliver(platform) == Delivered(count=0, failed=0, left=0)
    rows = applied(migrated_url, "key, text, attempt")
    assert [row for row in rows if row[0] == "a"] == [("a", "one", 1), ("a", "two", 1), ("a", "three", 1)]
    assert [row for row in rows if row[0] == "b"] == [("b", "other", 1)]


def test_a_transaction_that_is_rolled_back_leaves_nothing(platform: Platform, migrated_url: str) -> None:
    with pytest.raises(LookupError), platform.postgres.begin() as connection:
        record(connection, NOTED, key="a", payload=Note(text="never"))
        raise LookupError
    recorded(platform, "later")
    assert deliver(platform) == Delivered(count=1, failed=0, left=0)
    assert applied(migrated_url) == [("a", "later")]


def test_no_more_than_the_limit_is_tried(platform: Platform, migrated_url: str) -> None:
    recorded(platform, "one", "two", "three")
    assert deliver(platform, limit=2) == Delivered(count=2, failed=0, left=1)
    assert deliver(platform) == Delivered(count=1, failed=0, left=0)
    assert [text for _, text in applied(migrated_url)] == ["one", "two", "three"]


def test_who_records_a_key_second_waits_for_the_first_to_commit(platform: Platform, migrated_url: str) -> None:
    began_first = threading.Event()

    def second() -> None:
        with platform.postgres.begin() as connection:
            connection.execute(sa.text("SELECT pg_current_xact_id()"))
            began_first.set()
            record(connection, NOTED, key="a", payload=Note(text="second"))

    with ThreadPoolExecutor(1) as threads:
        with platform.postgres.begin() as connection:
            record(connection, NOTED, key="a", payload=Note(text="first"))
            waiting = threads.submit(second)
            assert began_first.wait(20)
            with psycopg.connect(migrated_url, autocommit=True) as watcher:
                until(watcher, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
            recorded(platform, "unhindered", key="b")
            assert deliver(platform).count == 1  # what is not committed is not there, whatever its position
        waiting.result(20)
    assert deliver(platform).count == 2
    assert applied(migrated_url) == [("b", "unhindered"), ("a", "first"), ("a", "second")]


def until(watcher: psycopg.Connection, condition: str) -> None:
    deadline = time.monotonic() + 20
    while watcher.execute(condition).fetchone() != (True,):
        assert time.monotonic() < deadline, condition
        time.sleep(0.01)


def test_the_order_within_a_key_is_that_of_the_commits(platform: Platform, migrated_url: str) -> None:
    """Each transaction notes, once it holds the key, which one it is by what has been committed for that key; two that
    held it at once would note the same."""
    execute(migrated_url, "CREATE TABLE public.seen (key text, place int, text text PRIMARY KEY)")
    keys = ("a", "b", "c")

    def writer(number: int) -> None:
        random = Random(number)
        for turn in range(25):
            key, text = random.choice(keys), f"{number}/{turn}"
            with platform.postgres.begin() as connection:
                connection.execute(sa.text("SELECT pg_current_xact_id(), pg_sleep(:s)"), {"s": random.random() / 200})
                record(connection, NOTED, key=key, payload=Note(text=text))
                connection.execute(
                    sa.text(
                        "INSERT INTO public.seen SELECT :key, count(*) + 1, :text FROM public.seen WHERE key = :key"
                    ),
                    {"key": key, "text": text},
                )

    with ThreadPoolExecutor(10) as threads:
        writers: list[Future[None]] = [threads.submit(writer, number) for number in range(8)]
        with lab(migrated_url) as other:
            while not all(writer.done() for writer in writers):
                deliver(other)
            for ended in writers:
                ended.result()
            deliver(other)
    with psycopg.connect(migrated_url) as connection:
        places: dict[str, int] = dict(connection.execute("SELECT text, place FROM public.seen").fetchall())
    rows = applied(migrated_url)
    assert len(rows) == 8 * 25
    for _, group in groupby(sorted(rows, key=itemgetter(0)), key=itemgetter(0)):
        order = [places[text] for _, text in group]
        assert order == list(range(1, len(order) + 1))


def test_two_relays_at_once_apply_each_once_and_in_order(platform: Platform, migrated_url: str) -> None:
    for turn in range(40):
        for key in "abc":
            recorded(platform, f"{turn:02d}", key=key)
    start = threading.Barrier(2)

    def relay() -> int:
        count = 0
        with lab(migrated_url) as own:
            start.wait()
            while (delivered := deliver(own)).left:
                count += delivered.count
        return count + delivered.count

    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(relay) for _ in range(2)]
        counts = [each.result() for each in both]
    assert sum(counts) == 120
    rows = applied(migrated_url)
    assert len(rows) == 120
    for key in "abc":
        assert [text for found, text in rows if found == key] == [f"{turn:02d}" for turn in range(40)]


def test_a_relay_that_dies_between_applying_and_marking_applies_again(platform: Platform, migrated_url: str) -> None:
    recorded(platform, "one", "two", effect=DIED)
    killed = subprocess.run(
        [sys.executable, "-c", RELAY, migrated_url],
        env=os.environ | {"OUTBOX_LAB_DIES": "yes", "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    with psycopg.connect(migrated_url, autocommit=True) as watcher:
        until(
            watcher,
            "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND state LIKE 'idle in transaction%')",
        )
    assert deliver(platform) == Delivered(count=2, failed=0, left=0)
    assert applied(migrated_url) == [("a", "one"), ("a", "one"), ("a", "two")]
    positions = [position for (position,) in applied(migrated_url, "position")]
    assert positions[0] == positions[1] < positions[2]


def test_an_effect_that_fails_holds_back_its_own_key_alone(platform: Platform, migrated_url: str) -> None:
    recorded(platform, "poison", "after", key="a", effect=TRIPPED)
    recorded(platform, "behind", key="a")
    recorded(platform, "free", key="b", effect=TRIPPED)
    assert deliver(platform) == Delivered(count=1, failed=1, left=3)
    assert applied(migrated_url) == [("b", "free")]
    # it waits, and those behind it wait with it
    assert deliver(platform) == Delivered(count=0, failed=0, left=3)
    first, *behind = undelivered(platform, 10)
    assert (first.attempts, first.effect) == (1, "lab.tripped")
    assert first.last_error is not None
    assert first.last_error.startswith("TrippedError at outbox_lab:")
    assert "ada" not in first.last_error
    assert [row.attempts for row in behind] == [0, 0]

    execute(migrated_url, "UPDATE storekeeper.outbox SET next_attempt_at = now()")
    assert deliver(platform) == Delivered(count=0, failed=1, left=3)
    execute(
        migrated_url,
        'UPDATE storekeeper.outbox SET next_attempt_at = now(), payload = \'{"text": "healed"}\' WHERE attempts > 0',
    )
    assert deliver(platform) == Delivered(count=3, failed=0, left=0)
    rows = applied(migrated_url, "text, attempt")
    assert rows == [("free", 1), ("healed", 3), ("after", 1), ("behind", 1)]


def test_the_next_attempt_comes_later_after_each_failure(platform: Platform, migrated_url: str) -> None:
    recorded(platform, "poison", effect=TRIPPED)
    waits = []
    for _ in range(3):
        deliver(platform)
        with psycopg.connect(migrated_url, autocommit=True) as connection:
            found = connection.execute(
                "SELECT extract(epoch FROM next_attempt_at - clock_timestamp()) FROM storekeeper.outbox"
            ).fetchone()
        assert found is not None
        waits.append(round(float(found[0])))
        execute(migrated_url, "UPDATE storekeeper.outbox SET next_attempt_at = now()")
    assert waits == [5, 10, 20]


def test_a_payload_of_another_release_is_noted_without_its_values(platform: Platform, migrated_url: str) -> None:
    recorded(platform, "secret")
    execute(migrated_url, 'UPDATE storekeeper.outbox SET payload = \'{"count": "secret"}\'')
    assert deliver(platform) == Delivered(count=0, failed=1, left=1)
    (row,) = undelivered(platform, 1)
    assert row.last_error is not None
    assert "lab.noted" in row.last_error
    assert "text: Field required" in row.last_error
    assert "secret" not in row.last_error


def test_an_effect_without_its_function_is_noted(platform: Platform) -> None:
    recorded(platform, "one", effect=NOWHERE)
    assert deliver(platform) == Delivered(count=0, failed=1, left=1)
    (row,) = undelivered(platform, 10, failed_only=True)
    assert row.last_error is not None
    assert "outbox_lab:is_not_there" in row.last_error


def test_an_effect_that_nobody_declares_stays_and_is_reported(platform: Platform, migrated_url: str) -> None:
    recorded(platform, "left out", effect=LEFT_OUT)
    recorded(platform, "behind it")
    recorded(platform, "elsewhere", key="b")
    assert deliver(platform) == Delivered(count=1, failed=0, left=2, unknown=("gone.noted",))
    platform.catalog = Catalog((*platform.catalog.domains, Domain("gone", effects=(LEFT_OUT,))))
    assert deliver(platform) == Delivered(count=2, failed=0, left=0)
    assert applied(migrated_url) == [("b", "elsewhere"), ("a", "left out"), ("a", "behind it")]


def test_without_any_effect_there_is_nothing_to_do(platform: Platform) -> None:
    platform.catalog = Catalog(())
    assert deliver(platform) == Delivered(count=0, failed=0, left=0)
