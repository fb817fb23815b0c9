"""What is wrong with the logins of a SQL store, and what to do about it: facts in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from storekeeper.platform.locating import Role

#: The oldest server that the contract knows, and the one from which backups can be incremental.
OLDEST: Final = 150000
INCREMENTAL: Final = 170000


@dataclass(frozen=True, slots=True)
class Finding:
    """`error`: something does not work, or is not protected. `warning`: it works, and should be otherwise."""

    severity: Literal["error", "warning"]
    subject: str
    cause: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Login:
    """What a server says of one login. `failure` is why there was none; the other facts are nothing then.

    `member_of` are the roles that it may become by SET ROLE, `inherits` those whose rights it has without that.
    """

    name: str
    failure: str = ""
    server_version: int = 0
    superuser: bool = False
    bypasses: bool = False
    replication: bool = False
    member_of: frozenset[str] = frozenset()
    inherits: frozenset[str] = frozenset()


def check_logins(store: str, logins: Mapping[Role, Login], *, embedded: bool) -> tuple[Finding, ...]:
    """What is to be said of the four logins of one store."""
    return (
        *_reached(store, logins),
        *_apart(store, logins),
        *_rights(store, logins),
        *_server(store, logins, embedded),
    )


def _reached(store: str, logins: Mapping[Role, Login]) -> Iterator[Finding]:
    told = set()
    for role, login in logins.items():
        if login.failure and login.failure not in told:
            told.add(login.failure)
            yield Finding("error", f"{store} as {role}", login.failure, f"check {_variable(store, role)}")


def _apart(store: str, logins: Mapping[Role, Login]) -> Iterator[Finding]:
    """Roles without a URL of their own log in as services do."""
    app, same = logins["app"], []
    for role, consequence in _CONSEQUENCES.items():
        if not logins[role].failure and logins[role].name == app.name:
            same.append(role)
            if logins["owner"].name != app.name:
                yield Finding(
                    "warning", f"{store} as {role}", f"logs in as {app.name}, as services do: {consequence}",
                    f"set {_variable(store, role)}",
                )  # fmt: skip
    if "owner" in same and not app.failure:
        yield Finding(
            "warning",
            f"{store} as app",
            f"services log in as {app.name}, which owns the tables: row-level security does not hold for them",
            f"make roles of your own for them and set {_variable(store, 'owner')}, then run `storekeeper migrate`",
        )


_CONSEQUENCES: Final[Mapping[Role, str]] = {
    "owner": "there is no other role to migrate as",
    "jobs": "it sees no user's rows, and may make no partition",
    "analyst": "it sees no user's rows",
}


def _rights(store: str, logins: Mapping[Role, Login]) -> Iterator[Finding]:
    owner, app = logins["owner"], logins["app"]
    separate = owner.name != app.name
    for role, login in logins.items():
        if login.failure or (role != "app" and login.name == app.name):
            continue
        subject = f"{store} as {role}"
        if login.superuser or login.bypasses:
            what = "is a superuser" if login.superuser else "has BYPASSRLS"
            level: Literal["error", "warning"] = "warning" if role == "owner" or not separate else "error"
            yield Finding(level, subject, f"{login.name} {what}: nothing is kept from it", "give it a plain role")
        elif separate and role in ("app", "analyst") and owner.name in login.member_of:
            yield Finding(
                "error", subject, f"{login.name} may become {owner.name}", f'REVOKE "{owner.name}" FROM "{login.name}"'
            )
        elif separate and role == "jobs":
            grant = f'GRANT "{owner.name}" TO "{login.name}" WITH INHERIT FALSE, SET TRUE'
            if owner.name not in login.member_of:
                yield Finding("error", subject, f"{login.name} may not become {owner.name}: no partitions", grant)
            elif owner.name in login.inherits:
                yield Finding("warning", subject, f"{login.name} has the rights of {owner.name} all the time", grant)
            if not login.replication:
                hint = f'ALTER ROLE "{login.name}" REPLICATION; without it backups are dumps'
                yield Finding("warning", subject, f"{login.name} has no REPLICATION: no base backup", hint)


def _server(store: str, logins: Mapping[Role, Login], embedded: bool) -> Iterator[Finding]:
    version = max((login.server_version for login in logins.values()), default=0)
    if 0 < version < OLDEST:
        yield Finding("error", store, f"PostgreSQL {version // 10000} is older than 15", "upgrade the server")
    elif 0 < version < INCREMENTAL and not embedded:
        cause = f"PostgreSQL {version // 10000} makes no incremental backups: WAL alone stands between full ones"
        yield Finding("warning", store, cause, "17 and later do")


def _variable(store: str, role: Role) -> str:
    own = "" if role == "app" else f"_{role.upper()}"
    return f"STOREKEEPER_{store.upper()}{own}_URL"
