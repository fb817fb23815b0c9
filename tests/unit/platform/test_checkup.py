"""What doctor finds in logins."""

from __future__ import annotations

from dataclasses import replace

from storekeeper.platform.checkup import Login, check_logins
from storekeeper.platform.locating import Role

GOOD: dict[Role, Login] = {
    "app": Login("k_app", server_version=180000),
    "owner": Login("k_owner", server_version=180000),
    "jobs": Login("k_jobs", server_version=180000, replication=True, member_of=frozenset({"k_owner"})),
    "analyst": Login("k_analyst", server_version=180000),
}


def found(**changed: Login) -> list[tuple[str, str]]:
    findings = check_logins("postgres", {**GOOD, **changed}, embedded=False)  # type: ignore[dict-item]  # roles by keyword
    return [(finding.severity, finding.subject) for finding in findings]


def test_four_plain_roles_are_well() -> None:
    assert found() == []


def test_what_a_role_must_not_have_is_found() -> None:
    app, jobs, owner = GOOD["app"], GOOD["jobs"], GOOD["owner"]
    assert found(app=replace(app, superuser=True)) == [("error", "postgres as app")]
    assert found(app=replace(app, bypasses=True)) == [("error", "postgres as app")]
    assert found(app=replace(app, member_of=frozenset({"k_owner"}))) == [("error", "postgres as app")]
    assert found(owner=replace(owner, superuser=True)) == [("warning", "postgres as owner")]
    assert found(jobs=replace(jobs, member_of=frozenset())) == [("error", "postgres as jobs")]
    assert found(jobs=replace(jobs, inherits=jobs.member_of)) == [("warning", "postgres as jobs")]
    assert found(jobs=replace(jobs, replication=False)) == [("warning", "postgres as jobs")]


def test_a_role_that_logs_in_as_services_do_is_a_warning() -> None:
    app = GOOD["app"]
    assert found(analyst=app) == [("warning", "postgres as analyst")]
    assert found(owner=app, jobs=app, analyst=app) == [("warning", "postgres as app")]


def test_a_login_that_fails_is_told_once_and_nothing_else_of_it() -> None:
    failed = Login("k_app", failure="no server")
    assert found(app=failed, owner=failed, jobs=failed, analyst=failed) == [("error", "postgres as app")]
    assert found(jobs=Login("k_jobs", failure="wrong password")) == [("error", "postgres as jobs")]


def test_old_servers_are_told_of() -> None:
    assert found(**{role: replace(login, server_version=140000) for role, login in GOOD.items()}) == [
        ("error", "postgres")
    ]
    assert found(**{role: replace(login, server_version=160000) for role, login in GOOD.items()}) == [
        ("warning", "postgres")
    ]
