"""Revisions as people name them: deals@0003, or deals@deals_0003; deals@base is before the first one."""

from __future__ import annotations

from collections.abc import Mapping

from storekeeper.errors import InputError, MigrationError
from storekeeper.migrations.history import History, SqlStore

BASE = "base"


def parsed(text: str) -> tuple[str, str]:
    """The domain, and the id of a revision of it, or "base". Raises InputError."""
    domain, at, number = text.partition("@")
    if not domain or not at or not number:
        raise InputError(f"{text!r} names no revision", operation="migrate", hint="write DOMAIN@R, such as deals@0003")
    if number == BASE or number.startswith(f"{domain}_"):
        return domain, number
    return domain, f"{domain}_{number}"


def known(domain: str, revision: str, histories: Mapping[SqlStore, History]) -> dict[SqlStore, list[str]]:
    """The ids of the domain's revisions in each store, oldest first. Raises MigrationError if `revision` is in none."""
    lines = {
        store: [script.revision for script in history.branches.get(domain, ())] for store, history in histories.items()
    }
    ids = sorted({revision for line in lines.values() for revision in line})
    if not ids:
        raise MigrationError("has no revisions", operation="migrate", target=domain, hint="see `migrate status`")
    if revision != BASE and revision not in ids:
        raise MigrationError(
            f"there is no {revision}", operation="migrate", target=domain, hint=f"there are {', '.join(ids)}"
        )
    return lines


def newest_of(
    text: str, stores: Mapping[SqlStore, tuple[History, tuple[str, ...]]]
) -> dict[SqlStore, dict[str, str | None]]:
    """By store and branch, the last revision to apply on the way to `text`: the newest that is not above it.

    `stores` holds each store's history and the revisions on its record. Raises MigrationError where a store is past it.
    """
    domain, revision = parsed(text)
    lines = known(domain, revision, {store: history for store, (history, _) in stores.items()})
    wanted: dict[SqlStore, dict[str, str | None]] = {}
    for store, (history, recorded) in stores.items():
        upto = [one for one in lines[store] if revision != BASE and one <= revision]
        beyond = [one.revision for one in history.applied(domain, recorded) if one.revision not in upto]
        if beyond:
            raise MigrationError(
                f"is at {beyond[-1]} already",
                operation=f"migrate to {text}",
                target=store,
                hint=f"`storekeeper migrate rollback {domain} {len(beyond)}` takes back what is beyond",
            )
        wanted[store] = {domain: upto[-1]} if upto else {}
    return wanted
