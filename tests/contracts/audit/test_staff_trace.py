"""What staff does to rows of others leaves a trace, whatever client asks: the policies write it, or let nobody in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from deals_domain import person, stored, wish
from storekeeper import Platform, connect
from storekeeper.domains.deals.entities import Goal, User
from storekeeper.domains.deals.operations.auth import change_role, change_status
from storekeeper.errors import StoreError
from storekeeper.stores.postgres.audit_chain import seal_pending, verify

Connection = psycopg.Connection[Any]

READ, CHANGED = "staff_read", "staff_changed"


@dataclass(frozen=True)
class People:
    """An admin, a moderator and a user; each has a goal."""

    admin: UUID
    moderator: UUID
    ada: UUID


@pytest.fixture
def people(migrated_url: str) -> People:
    users = [person(role="admin"), person(role="moderator"), person()]
    stored(migrated_url, *users, *(wish(user.id) for user in users))
    return People(*(user.id for user in users))


@pytest.fixture
def app(app_url: str) -> Iterator[Connection]:
    with psycopg.connect(app_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def service(role_settings: dict[str, Any]) -> Iterator[Platform]:
    with connect(stores=("postgres",), **role_settings) as platform:
        yield platform


def acting(connection: Connection, user: UUID | None, request: str = "req-1") -> None:
    settings = {"app.current_user_id": str(user or ""), "app.request_id": request}
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))


def traces(url: str) -> list[tuple[str, str, str, str]]:
    """The log, past every right: action, table, actor and request of each row, in order."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT action, subject, actor, request_id FROM storekeeper.audit_log ORDER BY id"
        ).fetchall()


def test_one_row_a_transaction_and_table_says_who_read_for_which_request(
    app: Connection, people: People, migrated_url: str
) -> None:
    acting(app, people.admin)
    with app.transaction():
        assert app.execute("SELECT email FROM deals.users WHERE id = %s", (people.ada,)).fetchone()
        assert len(app.execute("SELECT id FROM deals.users").fetchall()) == 3
        app.execute("SELECT a.id FROM deals.users a JOIN deals.users b USING (status)")
        app.execute("SELECT id FROM deals.goals")
    who = (str(people.admin), "req-1")
    assert traces(migrated_url) == [(READ, "deals.users", *who), (READ, "deals.goals", *who)]
    app.execute("SELECT id FROM deals.users")
    assert traces(migrated_url)[2:] == [(READ, "deals.users", *who)]
    with psycopg.connect(migrated_url) as administrator:
        rows = administrator.execute("SELECT subject_id, db_role, detail FROM storekeeper.audit_log").fetchall()
    assert {subject_id for subject_id, _, _ in rows} == {str(people.admin)}
    assert all(role.endswith("_app") for _, role, _ in rows)
    assert [list(detail) for _, _, detail in rows] == [["transaction"]] * 3
    assert len({detail["transaction"] for _, _, detail in rows}) == 2


def test_a_session_of_the_platform_leaves_the_same(service: Platform, people: People, migrated_url: str) -> None:
    with service.postgres.session(user_id=people.moderator, request_id="req-7") as session:
        assert len(session.scalars(sa.select(Goal)).all()) == 3
        user = session.get(User, people.ada)
        assert user is not None
    who = (str(people.moderator), "req-7")
    assert traces(migrated_url) == [(READ, "deals.goals", *who), (READ, "deals.users", *who)]


def test_ones_own_rows_and_those_nobody_may_see_leave_none(app: Connection, people: People, migrated_url: str) -> None:
    for user in (people.admin, people.moderator, people.ada):
        acting(app, user)
        app.execute("SELECT email FROM deals.users WHERE id = %s", (user,))
        app.execute("UPDATE deals.users SET name = 'n' WHERE id = %s", (user,))
        app.execute("SELECT title FROM deals.goals WHERE user_id = %s", (user,))
        app.execute("INSERT INTO deals.goals (user_id, title, category) VALUES (%s, 't', 'books')", (user,))
        app.execute("SELECT id FROM deals.users WHERE id = %s", (uuid4(),))
    for nobody in (people.ada, uuid4(), None):
        acting(app, nobody)
        assert len(app.execute("SELECT id FROM deals.users").fetchall()) == (nobody == people.ada)
        assert app.execute("UPDATE deals.goals SET title = 'x' WHERE user_id = %s", (people.admin,)).rowcount == 0
    with psycopg.connect(migrated_url) as administrator:
        administrator.execute("UPDATE deals.users SET status = 'suspended' WHERE id = %s", (people.admin,))
    acting(app, people.admin)
    assert len(app.execute("SELECT id FROM deals.users").fetchall()) == 1
    assert traces(migrated_url) == []


WRITES = {
    "update": ("UPDATE deals.goals SET title = 'x' WHERE user_id = %s", [READ, CHANGED]),
    "insert": ("INSERT INTO deals.goals (user_id, title, category) VALUES (%s, 't', 'books')", [CHANGED]),
    "returned": ("INSERT INTO deals.goals (user_id, title, category) VALUES (%s, 't', 'toys') RETURNING id", None),
    "delete": ("DELETE FROM deals.goals WHERE user_id = %s", [READ, CHANGED]),
    "lock": ("SELECT id FROM deals.goals WHERE user_id = %s FOR UPDATE", [READ, CHANGED]),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_write_is_told_from_a_read(what: str, app: Connection, people: People, migrated_url: str) -> None:
    statement, expected = WRITES[what]
    acting(app, people.admin)
    with app.transaction():
        for _ in range(2):
            app.execute(statement.encode(), (people.ada,))
    left = traces(migrated_url)
    assert {row[1:] for row in left} == {("deals.goals", str(people.admin), "req-1")}
    assert sorted(row[0] for row in left) == sorted(expected or [READ, CHANGED])


def test_a_row_given_away_is_a_change(app: Connection, people: People, migrated_url: str) -> None:
    acting(app, people.admin)
    app.execute("UPDATE deals.goals SET user_id = %s WHERE user_id = %s", (people.ada, people.admin))
    assert (CHANGED, "deals.goals", str(people.admin), "req-1") in traces(migrated_url)


def test_who_may_only_read_changes_nothing(app: Connection, people: People, migrated_url: str) -> None:
    acting(app, people.moderator)
    assert app.execute("UPDATE deals.goals SET title = 'x' WHERE user_id = %s", (people.ada,)).rowcount == 0
    with pytest.raises(InsufficientPrivilege):
        app.execute("INSERT INTO deals.goals (user_id, title, category) VALUES (%s, 't', 'books')", (people.ada,))
    assert {action for action, *_ in traces(migrated_url)} <= {READ}


def test_it_goes_with_what_is_rolled_back_and_comes_again(app: Connection, people: People, migrated_url: str) -> None:
    acting(app, people.admin)
    with app.transaction():
        app.execute("SELECT id FROM deals.users")
        raise psycopg.Rollback
    assert traces(migrated_url) == []
    with app.transaction():
        with app.transaction():
            app.execute("SELECT id FROM deals.users")
            raise psycopg.Rollback
        with app.transaction():  # this savepoint stays, and so does its row
            app.execute("SELECT id FROM deals.users")
        app.execute("SELECT id FROM deals.users")
    assert len(traces(migrated_url)) == 1


def test_who_acts_next_in_the_transaction_has_a_row_of_their_own(
    app: Connection, people: People, migrated_url: str
) -> None:
    with app.transaction():
        for user, request in ((people.admin, "a"), (people.moderator, "b"), (people.moderator, "c")):
            acting(app, user, request)
            app.execute("SELECT id FROM deals.users")
    who = [(str(people.admin), "a"), (str(people.moderator), "b"), (str(people.moderator), "c")]
    assert traces(migrated_url) == [(READ, "deals.users", *one) for one in who]


def test_a_prepared_statement_leaves_it_each_time(app: Connection, people: People, migrated_url: str) -> None:
    """Also by the plan that the server keeps after five."""
    acting(app, people.admin)
    for _ in range(8):
        app.execute("SELECT email FROM deals.users WHERE id = %s", (people.ada,), prepare=True)
    assert len(traces(migrated_url)) == 8


ESCAPES = (
    "SET storekeeper.staff_traced = 'deals.users'",
    "SET app.staff_traced = 'deals.users'",
    "SET search_path = pg_temp",
    "CREATE TEMP TABLE audit_log (action text, subject text, subject_id text, detail jsonb); SET search_path = pg_temp",
    "SET row_security = on",
    "SET enable_seqscan = off; SET enable_indexscan = off; SET enable_bitmapscan = off",
    "SET plan_cache_mode = force_generic_plan",
    "SET default_transaction_isolation = 'serializable'",
    "INSERT INTO storekeeper.audit_log (action, subject, subject_id) VALUES ('staff_read', 'deals.users', 'x')",
    "INSERT INTO storekeeper.audit_log (action, subject, subject_id, detail) SELECT 'staff_read', 'deals.users', 'x', "
    "jsonb_build_object('transaction', (pg_current_xact_id()::text::bigint + n)::text) FROM generate_series(-2, 9) n",
)


@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_that_a_session_can_set_keeps_it_away(
    escape: str, app_url: str, people: People, migrated_url: str
) -> None:
    with psycopg.connect(app_url, autocommit=True) as app:
        acting(app, people.admin)
        app.execute(escape.encode())
        before = traces(migrated_url)
        assert len(app.execute("SELECT id FROM deals.users").fetchall()) == 3
        assert traces(migrated_url)[len(before) :] == [(READ, "deals.users", str(people.admin), "req-1")]


def test_called_by_itself_it_lets_nobody_in_and_writes_what_it_always_writes(
    app: Connection, people: People, migrated_url: str, analyst_url: str
) -> None:
    acting(app, people.ada)
    with app.transaction():
        assert app.execute("SELECT storekeeper.staff_reaches('deals.users', true)").fetchone() == (True,)
        assert len(app.execute("SELECT id FROM deals.users").fetchall()) == 1
    assert traces(migrated_url) == [(CHANGED, "deals.users", str(people.ada), "req-1")]
    with pytest.raises(psycopg.errors.UndefinedTable):
        app.execute("SELECT storekeeper.staff_reaches('deals.nothing', true)")
    assert app.execute("SELECT storekeeper.staff_reaches(0::oid::regclass, true)").fetchone() == (False,)
    acting(app, None)
    assert app.execute("SELECT storekeeper.staff_reaches('deals.users', false)").fetchone() == (False,)
    assert len(traces(migrated_url)) == 1
    with psycopg.connect(analyst_url) as analyst, pytest.raises(InsufficientPrivilege):
        analyst.execute("SELECT storekeeper.staff_reaches('deals.users', true)")


def test_where_no_trace_can_be_written_staff_reaches_nothing(
    app: Connection, service: Platform, people: People, migrated_url: str
) -> None:
    acting(app, people.admin)
    app.execute("SET default_transaction_read_only = on")
    assert app.execute("SELECT email FROM deals.users WHERE id = %s", (people.admin,)).fetchone()
    with pytest.raises(ReadOnlySqlTransaction, match="leaves a trace"):
        app.execute("SELECT email FROM deals.users")
    acting(app, people.ada)
    assert len(app.execute("SELECT email FROM deals.users").fetchall()) == 1
    with pytest.raises(StoreError, match="leaves a trace"), service.postgres.session(user_id=people.admin) as session:
        session.execute(sa.text("SET TRANSACTION READ ONLY"))
        session.scalars(sa.select(User)).all()
    assert traces(migrated_url) == []


def test_a_role_and_a_status_are_noted_by_the_functions_that_change_them(
    app: Connection, service: Platform, people: People, migrated_url: str
) -> None:
    acting(app, people.admin, "raw")
    app.execute("SELECT deals.change_role(%s, 'moderator')", (people.ada,))
    app.execute("SELECT deals.change_role(%s, 'moderator')", (uuid4(),))
    with service.postgres.session(user_id=people.admin, request_id="orm") as session:
        change_role(session, people.ada, "user")
        change_status(session, people.ada, "suspended")
    admin = str(people.admin)
    assert traces(migrated_url) == [
        ("role_changed", "deals.users", admin, "raw"),
        ("role_changed", "deals.users", admin, "orm"),
        (CHANGED, "deals.users", admin, "orm"),
    ]
    with psycopg.connect(migrated_url) as administrator:
        rows = administrator.execute("SELECT subject_id, db_role, detail FROM storekeeper.audit_log ORDER BY id")
        details = [(subject, role.endswith("_app"), detail) for subject, role, detail in rows]
    assert details == [
        (str(people.ada), True, {"from": "user", "to": "moderator"}),
        (str(people.ada), True, {"from": "moderator", "to": "user"}),
        (str(people.ada), True, {"what": "status", "from": "active", "to": "suspended"}),
    ]


def test_a_code_is_noted_by_the_functions_that_make_and_end_it(
    app: Connection, people: People, migrated_url: str
) -> None:
    acting(app, people.admin)
    until = datetime(2100, 1, 1, tzinfo=UTC)
    [(made,)] = app.execute("SELECT deals.make_code('WELCOME', 5, 10, %s)", (until,)).fetchall()
    assert app.execute("SELECT deals.end_code(%s)", (uuid4(),)).fetchone() == (False,)
    assert app.execute("SELECT deals.end_code(%s)", (made,)).fetchone() == (True,)
    with psycopg.connect(migrated_url) as administrator:
        noted = administrator.execute("SELECT subject_id, detail FROM storekeeper.audit_log ORDER BY id").fetchall()
    assert noted == [(str(made), {"what": "made", "amount": 5}), (str(made), {"what": "ended"})]


def test_the_chain_seals_it(app: Connection, people: People, role_settings: dict[str, Any]) -> None:
    acting(app, people.admin)
    app.execute("SELECT id FROM deals.users")
    app.execute("DELETE FROM deals.goals WHERE user_id = %s", (people.ada,))
    with connect(stores=("postgres",), role="jobs", **role_settings) as jobs:
        assert seal_pending(jobs.postgres) is not None
        findings: list[object] = []
        verdict = verify(jobs.postgres, findings.append, None)
    assert (findings, verdict.sealed, verdict.pending) == ([], 3, 0)


def test_the_policy_is_asked_once_a_statement_and_not_for_ones_own_row(app: Connection, people: People) -> None:
    acting(app, people.admin)

    def plan_of(statement: str) -> str:
        return "\n".join(line for (line,) in app.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {statement}".encode()))

    own = plan_of(f"SELECT email FROM deals.users WHERE id = '{people.admin}'")
    assert own.count("InitPlan ") - own.count("(InitPlan ") == 2
    assert own.count("never executed") == 1
    everybody = plan_of("SELECT email FROM deals.users")
    assert "never executed" not in everybody
    assert "SubPlan" not in everybody


@pytest.mark.parametrize("role", ["app_url", "jobs_url"])
def test_a_row_is_numbered_by_the_server_alone(role: str, request: pytest.FixtureRequest) -> None:
    with psycopg.connect(request.getfixturevalue(role), autocommit=True) as connection:
        for named, value in (("id", "7"), ("at", "now()"), ("actor", "'x'"), ("db_role", "'x'")):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(
                    f"INSERT INTO storekeeper.audit_log ({named}, action, subject, subject_id) "
                    f"OVERRIDING SYSTEM VALUE VALUES ({value}, 'login', 's', '1')".encode()
                )
        with pytest.raises(InsufficientPrivilege):
            connection.execute(
                "INSERT INTO storekeeper.outbox (id, effect, key, payload) "
                "OVERRIDING SYSTEM VALUE VALUES (7, 'e', 'k', '{}')"
            )
        connection.execute("INSERT INTO storekeeper.audit_log (action, subject, subject_id) VALUES ('login', 's', '1')")
