"""doctor: what is wrong with the settings and the servers, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from storekeeper.cli.failing import reported
from storekeeper.cli.options import CatalogPath, Directory, Json
from storekeeper.cli.output import console, counted, emit_json
from storekeeper.errors import SettingsError, StorekeeperError

if TYPE_CHECKING:
    from storekeeper.catalog import Catalog
    from storekeeper.platform.checkup import Finding, Login
    from storekeeper.platform.locating import Role, StoreName
    from storekeeper.settings import Settings

#: The exit code where something does not work, as that of an error of a store's.
FAILING = 3

_LOGIN = """
SELECT current_user::text, current_setting('server_version_num')::int, mine.rolsuper, mine.rolbypassrls,
       mine.rolreplication, array_agg(other.rolname::text) FILTER (WHERE pg_has_role(other.oid, 'MEMBER')),
       array_agg(other.rolname::text) FILTER (WHERE pg_has_role(other.oid, 'USAGE'))
FROM pg_catalog.pg_roles AS mine CROSS JOIN pg_catalog.pg_roles AS other
WHERE mine.rolname = current_user AND other.oid <> mine.oid
GROUP BY 1, 2, 3, 4, 5"""


def doctor(directory: Directory = None, catalog: CatalogPath = None, as_json: Json = False) -> None:
    """Looks at the settings, at every login of the SQL stores, and at whether each store answers.

    Exits with 3 where something does not work, or is not protected as it should be.
    """
    with reported(as_json=as_json):
        from storekeeper.catalog import load_catalog
        from storekeeper.settings import Settings

        # settings that are wrong end it here, all of them named at once
        settings = Settings.load(directory=directory, catalog=catalog)
        declared = load_catalog(settings.catalog).only(settings.domains)
        found = [finding for store in ("postgres", "timescale") for finding in _of_sql(settings, store)]
        found += [finding for store in ("mongo", "redis") for finding in _of_other(settings, store)]
        found += _of_archive(settings, declared)
        failing = any(finding.severity == "error" for finding in found)
        if as_json:
            emit_json({"well": not failing, "findings": [asdict(finding) for finding in found]})
        else:
            for finding in found:
                style = "red" if finding.severity == "error" else "yellow"
                console().print(finding.severity, style=style, end=" ")
                console().print(f"{finding.subject}: {finding.cause}", soft_wrap=True)
                if finding.hint:
                    console().print(f"  {finding.hint}", soft_wrap=True)
            console().print(counted(len(found), "finding") if found else "nothing is wrong")
    if failing:
        raise SystemExit(FAILING)


def _of_archive(settings: Settings, declared: Catalog) -> tuple[Finding, ...]:
    """Whether what is to be archived before it is dropped has a place that can be written."""
    from storekeeper.platform.archive import cold_tier
    from storekeeper.platform.checkup import Finding

    names = [hypertable.name for hypertable in declared.hypertables if hypertable.archive]
    if not names:
        return ()
    kept = f"{', '.join(names)}: retention drops nothing of it meanwhile"
    try:
        tier = cold_tier(settings)
        if tier is None:
            hint = "set `archive` to a directory or s3://BUCKET/PREFIX"
            return (Finding("error", "archive", f"has no place, and is declared of {kept}", hint),)
        tier.check()
    except StorekeeperError as error:
        return (Finding("error", "archive", f"{error.cause} ({error.target}), and is declared of {kept}", error.hint),)
    return ()


def _of_sql(settings: Settings, store: StoreName) -> tuple[Finding, ...]:
    from storekeeper.platform.checkup import Finding, check_logins
    from storekeeper.platform.locating import ROLES, locate

    try:
        place = locate(settings, store)
    except SettingsError as error:
        return (Finding("error", store, error.cause, error.hint),)
    logins = {role: _login(settings, store, role) for role in ROLES}
    return check_logins(store, logins, embedded=place.embedded)


def _login(settings: Settings, store: StoreName, role: Role) -> Login:
    """Logs in as a role and asks the server what that one may."""
    import psycopg

    from storekeeper.platform.checkup import Login
    from storekeeper.platform.locating import locate, login
    from storekeeper.stores.sql.failures import translated
    from storekeeper.stores.sql.urls import psycopg_dsn

    name, url = login(settings, store, role), locate(settings, store, role).url
    seconds = max(2, round(settings.connect_timeout))
    try:
        with (
            translated("log in", store),
            psycopg.connect(psycopg_dsn(url), connect_timeout=seconds, autocommit=True) as connection,
        ):
            row = connection.execute(_LOGIN).fetchone()
    except StorekeeperError as error:
        return Login(name, failure=error.cause)
    assert row is not None, "whoever asks is a role"
    found, version, superuser, bypasses, replication, member, inherits = row
    return Login(
        found, "", version, superuser, bypasses, replication, frozenset(member or ()), frozenset(inherits or ())
    )


def _of_other(settings: Settings, store: StoreName) -> tuple[Finding, ...]:
    from storekeeper.platform import connect
    from storekeeper.platform.checkup import Finding

    try:
        given = settings.model_dump(include={"directory", "mongo_url", "redis_url"}, exclude_none=True)
        with connect(stores=(store,), **given) as platform:
            (health,) = platform.health()
    except StorekeeperError as error:
        return (Finding("error", store, error.cause, error.hint),)
    return () if health.ok else (Finding("error", store, health.detail),)
