"""The chain over the audit log, on a real server: whole under concurrent writers, and a witness of every tampering."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.errors import CheckViolation

from storekeeper import Platform, audit, connect
from storekeeper.jobs import run_job
from storekeeper.ledger.audit_chain import Anchor, Finding
from storekeeper.stores.postgres.audit_chain import Verdict, listed, pending, seal_pending, verify


@pytest.fixture
def service(role_settings: dict[str, Any]) -> Iterator[Platform]:
    with connect(stores=("postgres",), **role_settings) as platform:
        yield platform


@pytest.fixture
def jobs(role_settings: dict[str, Any]) -> Iterator[Platform]:
    with connect(stores=("postgres",), role="jobs", **role_settings) as platform:
        yield platform


def append(service: Platform, *subjects: int) -> None:
    for subject in subjects:
        with service.postgres.session(request_id="r") as session:
            audit(session, "login", subject="deals.users", subject_id=str(subject), detail={"n": subject, "ok": True})


def verified(jobs: Platform, expect: Anchor | None = None) -> tuple[Verdict, list[tuple[str, int | None]]]:
    findings: list[Finding] = []
    verdict = verify(jobs.postgres, findings.append, expect)
    assert verdict.findings == len(findings)
    return verdict, [(finding.kind, finding.row_id or finding.position) for finding in findings]


def tamper(url: str, *statements: str) -> None:
    """What a superuser can do: past triggers and rights."""
    with psycopg.connect(url) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            connection.execute(statement.encode())


def test_writers_that_commit_and_roll_back_while_it_is_sealed_leave_a_whole_chain(
    service: Platform, jobs: Platform, migrated_url: str
) -> None:
    """Six writers, whose transactions overlap and end in any order; two sealers, of which one works at a time."""
    committed: list[str] = []
    ended = threading.Event()

    def write(writer: int) -> None:
        chance = random.Random(writer)
        for number in range(25):
            names = [f"{writer}.{number}.{part}" for part in range(chance.randint(1, 3))]
            try:
                with service.postgres.session() as session:
                    for name in names:
                        audit(session, "login", subject="deals.users", subject_id=name)
                    # rows with higher ids are committed and sealed meanwhile
                    session.connection().exec_driver_sql(f"SELECT pg_sleep({chance.random() / 50})")
                    if chance.random() < 0.3:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                continue
            committed.extend(names)

    def seal() -> int:
        count = 0
        while not ended.is_set():
            sealed = seal_pending(jobs.postgres)
            count += 0 if sealed is None else 1
        return count

    with ThreadPoolExecutor(8) as threads:
        sealers = [threads.submit(seal) for _ in range(2)]
        writers = [threads.submit(write, writer) for writer in range(6)]
        for writer in writers:
            writer.result()
        ended.set()
        assert sum(sealer.result() for sealer in sealers) > 3
    with service.postgres.session() as slow:  # its row is committed after one with a higher id was sealed
        audit(slow, "login", subject="deals.users", subject_id="slow")
        slow.flush()
        append(service, 1)
        seal_pending(jobs.postgres)
    seal_pending(jobs.postgres)
    committed += ["1", "slow"]
    verdict, findings = verified(jobs)
    assert findings == []
    assert (verdict.sealed, verdict.pending) == (len(committed), 0)
    with psycopg.connect(migrated_url) as connection:
        sealed = connection.execute(
            "SELECT l.subject_id FROM storekeeper.audit_chain c JOIN storekeeper.audit_log l ON l.id = c.row_id"
        ).fetchall()
        out_of_order = connection.execute(
            "SELECT count(*) FROM storekeeper.audit_chain a JOIN storekeeper.audit_chain b "
            "ON b.position = a.position + 1 AND b.row_id < a.row_id"
        ).fetchone()
    assert sorted(name for (name,) in sealed) == sorted(committed)
    assert out_of_order is not None
    assert out_of_order[0] > 0


TAMPERED = {
    "a changed row": (
        ["UPDATE storekeeper.audit_log SET subject_id = 'other' WHERE id = 3"],
        [("changed", 3)],
    ),
    "a changed detail": (
        ["""UPDATE storekeeper.audit_log SET detail = detail || '{"ok": false}' WHERE id = 3"""],
        [("changed", 3)],
    ),
    "a row taken away": (["DELETE FROM storekeeper.audit_log WHERE id = 3"], [("missing", 3)]),
    "a row taken away with its link": (
        [
            "DELETE FROM storekeeper.audit_log WHERE id = 3",
            "DELETE FROM storekeeper.audit_chain WHERE row_id = 3",
        ],
        [("missing", 3)],
    ),
    "two rows exchanged": (
        [
            "UPDATE storekeeper.audit_log SET subject_id = CASE id WHEN 2 THEN '3' ELSE '2' END WHERE id IN (2, 3)",
        ],
        [("changed", 2), ("changed", 3)],
    ),
    "a changed link": (
        ["UPDATE storekeeper.audit_chain SET hash = sha256('x') WHERE row_id = 3"],
        [("changed", 3), ("changed", 4)],
    ),
    "a changed time of sealing": (
        ["UPDATE storekeeper.audit_chain SET sealed_at = sealed_at + interval '1 s' WHERE row_id = 3"],
        [("changed", 3)],
    ),
    "a row slipped in past the triggers": (
        [
            "INSERT INTO storekeeper.audit_log (at, action, subject, subject_id)"
            " VALUES (now() - interval '1 day', 'login', 'deals.users', 'x')",
        ],
        [("inserted", 6)],
    ),
    "a row slipped in with an old date, and left to be sealed": (
        [
            "INSERT INTO storekeeper.audit_log (at, action, subject, subject_id)"
            " VALUES (now() - interval '1 day', 'login', 'deals.users', 'x')",
            "INSERT INTO storekeeper.audit_pending VALUES (6)",
        ],
        [("inserted", 6)],
    ),
    "a row that waits too long": (
        [
            "INSERT INTO storekeeper.audit_log (at, action, subject, subject_id)"
            " VALUES (clock_timestamp() - interval '11 s', 'login', 'deals.users', 'x')",
            "INSERT INTO storekeeper.audit_pending VALUES (6)",
        ],
        [("unsealed", 6)],
    ),
    "a row taken away before it was sealed": (
        ["INSERT INTO storekeeper.audit_pending VALUES (6)"],
        [("missing", 6)],
    ),
}


def test_every_tampering_is_found_and_named(service: Platform, jobs: Platform, migrated_url: str) -> None:
    append(service, 1, 2)
    seal_pending(jobs.postgres)
    append(service, 3, 4, 5)
    seal_pending(jobs.postgres)
    whole, none = verified(jobs)
    assert none == []
    tables = ("audit_log", "audit_chain", "audit_pending")
    tamper(migrated_url, *(f"CREATE TABLE storekeeper.kept_{t} AS TABLE storekeeper.{t}" for t in tables))
    for name, (statements, expected) in TAMPERED.items():
        tamper(migrated_url, "SELECT setval('storekeeper.audit_log_id_seq', 5)", *statements)
        if name.endswith("left to be sealed"):
            seal_pending(jobs.postgres)
        assert verified(jobs)[1] == expected, name
        restored = (
            statement
            for t in tables
            for statement in (
                f"DELETE FROM storekeeper.{t}",
                f"INSERT INTO storekeeper.{t} {'OVERRIDING SYSTEM VALUE ' if t == 'audit_log' else ''}"
                f"TABLE storekeeper.kept_{t}",
            )
        )
        tamper(migrated_url, *restored)
        assert verified(jobs, whole.head) == (whole, []), name


def test_a_chain_that_lost_its_end_is_found_by_an_anchor_alone(
    service: Platform, jobs: Platform, migrated_url: str
) -> None:
    append(service, 1, 2, 3)
    seal_pending(jobs.postgres)
    anchor = verified(jobs)[0].head
    tamper(
        migrated_url,
        "DELETE FROM storekeeper.audit_log WHERE id = 3",
        "DELETE FROM storekeeper.audit_chain WHERE row_id = 3",
    )
    assert verified(jobs)[1] == []
    assert verified(jobs, anchor)[1] == [("cut off", 2)]
    append(service, 4)
    seal_pending(jobs.postgres)
    assert verified(jobs, anchor)[1] == [("changed", 3)]


def test_the_job_seals_what_there_is_and_says_so_once(service: Platform, jobs: Platform) -> None:
    append(service, *range(3))
    assert run_job(jobs, "audit", dry_run=True).report.rows == 3
    assert pending(jobs.postgres) == 3
    first = run_job(jobs, "audit")
    assert (first.report.rows, first.state) == (3, "done")
    again = run_job(jobs, "audit")
    assert (again.report.actions, again.id) == ((), None)
    assert [row.subject_id for row in listed(jobs.postgres, 2)] == ["2", "1"]
    assert [row.subject_id for row in listed(jobs.postgres, 5, subject_id="1", action="login")] == ["1"]


def test_many_rows_are_sealed_together_and_verified_as_they_stream(
    service: Platform, jobs: Platform, migrated_url: str
) -> None:
    """More than two batches; those of the last one belong to the same run as those of the first."""
    with psycopg.connect(migrated_url) as connection:
        connection.execute(
            "INSERT INTO storekeeper.audit_log (action, subject, subject_id) "
            "SELECT 'login', 'deals.users', n::text FROM generate_series(1, 2500) n"
        )
    sealed = seal_pending(jobs.postgres)
    assert sealed is not None
    assert sealed.rows == 2500
    verdict, findings = verified(jobs, sealed.head)
    assert (verdict.sealed, findings) == (2500, [])


@pytest.mark.parametrize(
    "detail", ['{"n": ' + "1" * 5_000 + "}", '{"n": ' + "[" * 1_500 + "]" * 1_500 + "}", '{"n": {}}', "[]"]
)
def test_a_service_cannot_append_what_the_job_could_not_read(
    service: Platform, jobs: Platform, app_url: str, detail: str
) -> None:
    statement = "INSERT INTO storekeeper.audit_log (action, subject, subject_id, detail) VALUES ('login', 's', '1', %s)"
    with psycopg.connect(app_url) as connection, pytest.raises(CheckViolation):
        connection.execute(statement, (detail,))
    append(service, 1)
    assert seal_pending(jobs.postgres) is not None
    assert verified(jobs)[1] == []
