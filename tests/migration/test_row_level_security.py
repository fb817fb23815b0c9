"""Row-level security and grants on a server: every table that leads to a user, looked at through each role's eyes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from somebodys_rows import Row, drop_checks, insert, rows_of, with_new_key
from storekeeper.domains import CATALOG
from storekeeper.servers.recipes import USER
from storekeeper.servers.roles import role_name

Connection = psycopg.Connection[Any]

SCHEMAS = [domain.name for domain in CATALOG.domains]
TABLES = {f"{table.schema}.{table.name}": table for domain in CATALOG.domains for table in domain.tables}
PROTECTIONS = {protection.name: protection for protection in CATALOG.protections}
OWNED = sorted(name for name, protection in PROTECTIONS.items() if protection.owners)
ROLES = {role: role_name(USER, role) for role in ("app", "analyst", "jobs")}

#: Every table that is reached by foreign keys from a table of users; partitions are reached through their tables.
REACHED = """
WITH RECURSIVE reached AS (
    SELECT oid FROM pg_catalog.pg_class
    WHERE relname = 'users' AND relkind IN ('r', 'p') AND relnamespace::regnamespace::text = ANY(%(schemas)s)
    UNION
    SELECT key.conrelid FROM reached JOIN pg_catalog.pg_constraint AS key ON key.confrelid = reached.oid
    WHERE key.contype = 'f'
)
SELECT format('%%s.%%s', relnamespace::regnamespace, relname), relrowsecurity, EXISTS (
    SELECT FROM pg_catalog.pg_policy WHERE polrelid = pg_class.oid AND polname = 'user_data_isolation')
FROM reached JOIN pg_catalog.pg_class USING (oid) WHERE NOT relispartition ORDER BY 1
"""


@pytest.fixture
def administrator(migrated_url: str) -> Iterator[Connection]:
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def app(app_url: str) -> Iterator[Connection]:
    with psycopg.connect(app_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def somebody(administrator: Connection) -> tuple[UUID, dict[str, Row]]:
    """A user, and their row in every table that holds users' rows."""
    drop_checks(administrator, SCHEMAS)
    user = uuid4()
    rows = rows_of(CATALOG, user)
    with administrator.transaction():
        administrator.execute("SET LOCAL session_replication_role = 'replica'")
        for table, row in rows.items():
            insert(administrator, table, row)
    return user, rows


def acting(connection: Connection, user: UUID | None) -> None:
    connection.execute("SELECT set_config('app.current_user_id', %s, false)", (str(user) if user else "",))


def counted(connection: Connection, table: str) -> int:
    statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table.split(".")))
    (found,) = connection.execute(statement).fetchone() or (0,)
    return int(found)


def may(connection: Connection, table: str, right: str, column: str | None = None, role: str | None = None) -> bool:
    kind, what = ("column", (role, table, column, right)) if column else ("table", (role, table, right))
    asked = f"SELECT has_{kind}_privilege(coalesce(%s, current_user), {', '.join(['%s'] * (len(what) - 1))})"
    row = connection.execute(asked.encode(), what).fetchone()
    return bool(row and row[0])


def test_every_table_that_leads_to_a_user_is_secured_and_has_a_policy(administrator: Connection) -> None:
    reached = administrator.execute(REACHED, {"schemas": SCHEMAS}).fetchall()
    assert {name for name, _, _ in reached} >= {"invest.users", "invest.transactions", "invest.watchlist_items"}
    assert [name for name, secured, policy in reached if not (secured and policy)] == []
    assert {name for name, _, _ in reached} <= set(OWNED)


def test_users_see_their_own_rows_and_nobody_elses(app: Connection, somebody: tuple[UUID, dict[str, Row]]) -> None:
    user, _ = somebody
    acting(app, user)
    assert [table for table in OWNED if counted(app, table) != 1] == []
    for other in (uuid4(), None):
        acting(app, other)
        assert [table for table in OWNED if counted(app, table)] == []


def test_nobody_changes_another_users_rows(
    app: Connection, administrator: Connection, somebody: tuple[UUID, dict[str, Row]]
) -> None:
    changed = []
    acting(app, uuid4())
    for table in OWNED:
        name = sql.Identifier(*table.split("."))
        free = [c.name for c in TABLES[table].columns if not c.computed and may(app, table, "UPDATE", c.name)]
        for column in free[:1]:
            statement = sql.SQL("UPDATE {} SET {} = DEFAULT").format(name, sql.Identifier(column))
            changed += [(table, "UPDATE")] * app.execute(statement).rowcount
        if may(app, table, "DELETE"):
            changed += [(table, "DELETE")] * app.execute(sql.SQL("DELETE FROM {}").format(name)).rowcount
    assert changed == []
    assert [table for table in OWNED if counted(administrator, table) != 1] == []


def test_nobody_writes_a_row_in_anothers_name(app: Connection, somebody: tuple[UUID, dict[str, Row]]) -> None:
    _, rows = somebody
    acting(app, uuid4())
    for table in OWNED:
        with pytest.raises(InsufficientPrivilege):
            insert(app, table, with_new_key(TABLES[table], rows[table]))


def test_public_rows_are_read_by_everybody_and_changed_by_nobody_else(
    app: Connection, administrator: Connection, somebody: tuple[UUID, dict[str, Row]]
) -> None:
    administrator.execute("UPDATE invest.watchlists SET is_public = true")
    administrator.execute("UPDATE invest.ai_insights SET user_id = NULL")
    for other in (uuid4(), None):
        acting(app, other)
        for table in ("invest.watchlists", "invest.watchlist_items", "invest.ai_insights"):
            assert counted(app, table) == 1
        assert app.execute("UPDATE invest.watchlists SET name = 'mine'").rowcount == 0
        assert app.execute("DELETE FROM invest.watchlist_items").rowcount == 0
        assert app.execute("DELETE FROM invest.ai_insights").rowcount == 0


def test_staff_reaches_rows_of_others_and_the_log_says_where(
    app: Connection, administrator: Connection, somebody: tuple[UUID, dict[str, Row]]
) -> None:
    user, _ = somebody
    admin = uuid4()
    administrator.execute(
        "INSERT INTO deals.users (id, email, hashed_password, role) VALUES (%s, 'admin@example.org', 'x', 'admin')",
        (admin,),
    )
    administrator.execute("UPDATE deals.users SET role = 'admin' WHERE id = %s", (user,))
    reached = {p.name: p for p in PROTECTIONS.values() if p.staff_reads or p.staff_writes}
    noted = "SELECT subject, action FROM storekeeper.audit_log WHERE actor = %s"
    acting(app, user)
    assert [table for table in reached if table != "deals.users" and counted(app, table) != 1] == []
    assert administrator.execute(noted, (str(user),)).fetchall() == []  # one's own rows, though as an admin
    acting(app, admin)
    assert [table for table in reached if counted(app, table) != 1 + (table == "deals.users")] == []
    left = administrator.execute(noted, (str(admin),)).fetchall()
    # a way through parents asks for those as well
    assert {(table, "staff_read") for table in reached} == set(left)
    policies = administrator.execute(
        "SELECT schemaname || '.' || tablename, policyname FROM pg_catalog.pg_policies WHERE policyname ~ '^staff_'"
    ).fetchall()
    writes = {"INSERT": "staff_inserts", "UPDATE": "staff_updates", "DELETE": "staff_deletes"}
    wanted = {(name, "staff_reads") for name in reached}
    wanted |= {(name, writes[r]) for name, p in reached.items() if p.staff_writes for r in p.app if r in writes}
    assert set(policies) == wanted


def test_jobs_and_analysts_see_all_rows(jobs_url: str, analyst_url: str, somebody: tuple[UUID, dict[str, Row]]) -> None:
    for url in (jobs_url, analyst_url):
        with psycopg.connect(url, autocommit=True) as connection:
            assert [table for table in OWNED if counted(connection, table) != 1] == []


def test_analysts_read_no_personal_column_and_write_nothing(analyst_url: str) -> None:
    with psycopg.connect(analyst_url, autocommit=True) as connection:
        for name, table in TABLES.items():
            hidden = PROTECTIONS[name].hidden if name in PROTECTIONS else ()
            readable = {column.name for column in table.columns if may(connection, name, "SELECT", column.name)}
            assert readable == set(table.columns.keys()) - set(hidden), name
            assert not any(may(connection, name, right) for right in ("INSERT", "UPDATE", "DELETE", "TRUNCATE")), name
        with pytest.raises(InsufficientPrivilege):
            connection.execute("SELECT email FROM invest.users")
        connection.execute("SELECT id, subscription_tier FROM invest.users")


def test_services_write_no_guarded_column(app: Connection) -> None:
    for name, protection in PROTECTIONS.items():
        for column in protection.guarded:
            assert not may(app, name, "UPDATE", column), f"{name}.{column}"
            assert not may(app, name, "INSERT", column), f"{name}.{column}"
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            free = next(c.name for c in protection.table.columns if c.name not in protection.guarded)
            written = free if right in ("INSERT", "UPDATE") else None
            assert may(app, name, right, written) == (right in protection.app), f"{right} on {name}"


def test_partitions_views_and_rollups_are_reached_by_no_detour(administrator: Connection) -> None:
    found = administrator.execute(
        "SELECT format('%%s.%%s', relnamespace::regnamespace, relname), relispartition FROM pg_catalog.pg_class "
        "WHERE relnamespace::regnamespace::text = ANY(%s) AND relkind IN ('r', 'p', 'm')",
        (SCHEMAS,),
    ).fetchall()
    partitions = [name for name, partition in found if partition]
    assert len(partitions) > 10
    for role in ROLES.values():
        assert [name for name in partitions if may(administrator, name, "SELECT", role=role)] == []
    shown = [view.name for view in CATALOG.views]
    shown += [f"{h.schema}.{rollup.name}" for h in CATALOG.hypertables for rollup in h.rollups]
    assert [name for name in shown if may(administrator, name, "SELECT", role=ROLES["app"])] == []
    assert [name for name in shown if not may(administrator, name, "SELECT", role=ROLES["analyst"])] == []


def test_only_the_owner_truncates(administrator: Connection) -> None:
    found = administrator.execute(
        "SELECT format('%%s.%%s', relnamespace::regnamespace, relname) FROM pg_catalog.pg_class "
        "WHERE relnamespace::regnamespace::text = ANY(%s) AND relkind IN ('r', 'p')",
        ([*SCHEMAS, "storekeeper"],),
    ).fetchall()
    for role in ROLES.values():
        assert [name for (name,) in found if may(administrator, name, "TRUNCATE", role=role)] == []
    owners = administrator.execute(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_catalog.pg_class "
        "WHERE relnamespace::regnamespace::text = ANY(%s)",
        ([*SCHEMAS, "storekeeper"],),
    ).fetchall()
    assert owners == [(role_name(USER, "owner"),)]


def test_jobs_become_the_owner_and_do_not_inherit_it(jobs_url: str, app: Connection) -> None:
    make = "CREATE TABLE invest.transactions_1999 PARTITION OF invest.transactions FOR VALUES FROM ('1999-01-01') "
    make += "TO ('2000-01-01')"
    with psycopg.connect(jobs_url) as jobs:
        with pytest.raises(InsufficientPrivilege), jobs.transaction():
            jobs.execute(make.encode())
        jobs.execute(f"SET LOCAL role = '{role_name(USER, 'owner')}'".encode())
        jobs.execute(make.encode())
    for role in ("owner", "jobs"):
        with pytest.raises(InsufficientPrivilege):
            app.execute(f"SET role = '{role_name(USER, role)}'".encode())


def test_services_call_the_domains_functions_and_no_private_ones(app: Connection, administrator: Connection) -> None:
    assert app.execute("SELECT * FROM invest.login_of('nobody@example.org')").fetchall() == []
    open_to_all = administrator.execute(
        "SELECT oid::regprocedure::text FROM pg_catalog.pg_proc WHERE prosecdef "
        "AND pronamespace::regnamespace::text = ANY(%s) AND has_function_privilege('public', oid, 'EXECUTE')",
        ([*SCHEMAS, "storekeeper"],),
    ).fetchall()
    assert open_to_all == []
    for name, path, app_may in administrator.execute(
        "SELECT proname, coalesce(array_to_string(proconfig, ','), ''), has_function_privilege(%s, oid, 'EXECUTE') "
        "FROM pg_catalog.pg_proc WHERE prosecdef AND pronamespace::regnamespace::text = ANY(%s) "
        "AND prorettype <> 'trigger'::regtype",
        (ROLES["app"], SCHEMAS),
    ).fetchall():
        assert "search_path=pg_catalog, pg_temp" in path, name
        assert app_may == (not name.startswith("_")), name


@pytest.mark.parametrize("role", ["app", "analyst"])
def test_nobody_runs_code_as_the_owner_through_a_trigger_of_theirs(role: str, app_url: str, analyst_url: str) -> None:
    """A type with a cast of one's own, in a temporary table on which a function that runs as the owner is put."""
    with psycopg.connect({"app": app_url, "analyst": analyst_url}[role], autocommit=True) as attacker:
        attacker.execute("CREATE TYPE pg_temp.bait AS RANGE (subtype = integer)")
        attacker.execute(
            "CREATE FUNCTION pg_temp.sprung(pg_temp.bait) RETURNS timestamptz LANGUAGE plpgsql AS "
            "$$ BEGIN UPDATE deals.users SET role = 'admin'; RETURN '2030-01-01'; END $$"
        )
        attacker.execute("CREATE CAST (pg_temp.bait AS timestamptz) WITH FUNCTION pg_temp.sprung AS IMPLICIT")
        attacker.execute("CREATE TEMP TABLE trap (moment pg_temp.bait)")
        with pytest.raises(InsufficientPrivilege):
            attacker.execute(
                "CREATE TRIGGER spring AFTER INSERT ON trap REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT "
                "EXECUTE FUNCTION storekeeper.note_changes('invest.intraday_prices', 'moment', '1 day')"
            )


#: What is deleted or changed along with a row of each table, as far as foreign keys reach: the server does that past
#: every policy.
TAKEN_ALONG = """
WITH RECURSIVE taken AS (
    SELECT confrelid AS parent, conrelid AS child FROM pg_catalog.pg_constraint
    WHERE contype = 'f' AND confdeltype IN ('c', 'n', 'd')
    UNION
    SELECT taken.parent, key.conrelid FROM taken JOIN pg_catalog.pg_constraint AS key ON key.confrelid = taken.child
    WHERE key.contype = 'f' AND key.confdeltype IN ('c', 'n', 'd')
)
SELECT DISTINCT parent::regclass::text FROM taken
JOIN pg_catalog.pg_class AS shared ON shared.oid = parent JOIN pg_catalog.pg_class AS owned ON owned.oid = child
WHERE NOT shared.relrowsecurity AND owned.relrowsecurity AND shared.relnamespace::regnamespace::text = ANY(%s)
"""


def test_no_service_takes_rows_of_others_along_with_a_row_of_nobodys(administrator: Connection) -> None:
    found = {name for (name,) in administrator.execute(TAKEN_ALONG, (SCHEMAS,))}
    assert found >= {"deals.deals", "deals.markets", "rooms.rooms", "defi.signals"}
    assert [name for name in sorted(found) if may(administrator, name, "DELETE", role=ROLES["app"])] == []


@pytest.mark.parametrize(("table", "column"), [("token_redemption_codes", "code"), ("shared_deals", "public_link_id")])
def test_what_opens_something_is_not_for_analysts(administrator: Connection, table: str, column: str) -> None:
    assert not may(administrator, f"deals.{table}", "SELECT", column, role=ROLES["analyst"])


def test_who_is_suspended_stays_so(
    app: Connection, somebody: tuple[UUID, dict[str, Row]], administrator: Connection
) -> None:
    user, _ = somebody
    administrator.execute("UPDATE deals.users SET role = 'admin', status = 'suspended' WHERE id = %s", (user,))
    acting(app, user)
    with pytest.raises(InsufficientPrivilege):
        app.execute("UPDATE deals.users SET status = 'active' WHERE id = %s", (user,))
    assert app.execute("SELECT deals.acting_role()").fetchone() == (None,)
