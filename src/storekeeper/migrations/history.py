"""The Alembic histories: one a SQL store, in it one labelled branch a domain and one of the platform's own."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from alembic.script import Script, ScriptDirectory
from alembic.script.revision import Revision, RevisionError
from alembic.util import CommandError

from storekeeper.catalog import Catalog, Domain
from storekeeper.errors import DeclarationError, MigrationError

SqlStore = Literal["postgres", "timescale"]

#: The platform's own branch; it always goes up first and down last, so that no branch needs to name another.
PLATFORM = "storekeeper"

_HERE = Path(__file__).parent


class History:
    """The revisions of one SQL store that a catalogue knows: `branches` by name, each from its oldest to its newest.

    The id of a revision begins with its domain's name and "_", so that one that is unknown still tells whose it is.
    Raises DeclarationError or MigrationError where the revisions do not make one line a domain.
    """

    def __init__(self, store: SqlStore, catalog: Catalog) -> None:
        self.store = store
        folders = {PLATFORM: _HERE / "revisions" / store}
        folders |= {domain.name: folder for domain in catalog.domains if (folder := _folder(domain, store))}
        self._owners = {PLATFORM, *(domain.name for domain in catalog.domains)}
        self._admitted: set[str] = set()
        self.scripts = ScriptDirectory(_HERE / store, version_locations=list(folders.values()))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # of Alembic: two of one id, or one missing
                self.branches = _branches(self.scripts, folders)
        except (CommandError, RevisionError, UserWarning) as error:
            raise MigrationError(str(error), operation="read revisions", target=store) from error

    def applied(self, branch: str, recorded: Iterable[str]) -> list[Script]:
        """The revisions of a branch that a store has, oldest first, by the ids in its version table."""
        ids = set(recorded)
        revisions = self.branches.get(branch, ())
        newest = max((at for at, script in enumerate(revisions) if script.revision in ids), default=-1)
        return list(revisions[: newest + 1])

    def pending(self, branch: str, recorded: Iterable[str]) -> list[Script]:
        """The revisions of a branch that a store has not seen, oldest first."""
        return list(self.branches.get(branch, ())[len(self.applied(branch, recorded)) :])

    def admit(self, recorded: Iterable[str]) -> tuple[str, ...]:
        """Returns the revisions of domains that are not in the catalogue; they are left as they are.

        Raises MigrationError where a revision of a known domain is unknown: then newer code has migrated this store.
        """
        known = {script.revision for revisions in self.branches.values() for script in revisions}
        strangers = tuple(revision for revision in recorded if revision not in known)
        for revision in strangers:
            owner = revision.rpartition("_")[0]
            if owner in self._owners:
                raise MigrationError(
                    f"is at revision {revision}, which the code of {owner} here does not know",
                    operation="migrate",
                    target=self.store,
                    hint="newer code has migrated this store: use that version, or roll back with it",
                )
            if revision not in self._admitted:  # Alembic refuses ids that it cannot resolve
                self.scripts.revision_map.add_revision(Revision(revision, None))
                self._admitted.add(revision)
        return strangers


def _branches(scripts: ScriptDirectory, folders: Mapping[str, Path]) -> dict[str, tuple[Script, ...]]:
    branches: dict[str, tuple[Script, ...]] = dict.fromkeys(folders, ())
    for script in scripts.walk_revisions():  # newest first
        owner = next((name for name, folder in folders.items() if Path(script.path).parent == folder), "")
        if script.branch_labels != {owner} or script.revision.rpartition("_")[0] != owner:
            raise DeclarationError(
                f"is {script.revision} on branch {', '.join(script.branch_labels) or 'without a label'}",
                operation="read revision",
                target=script.path,
                hint=f'name it {owner}_0001 and so on; the first one has branch_labels = ("{owner}",)',
            )
        if (script.is_head and branches[owner]) or isinstance(script.down_revision, tuple):
            raise MigrationError(
                "more than one revision goes on from the same one", operation="read revision", target=script.path
            )
        branches[owner] = (script, *branches[owner])
    return {name: revisions for name, revisions in branches.items() if revisions}


def _folder(domain: Domain, store: SqlStore) -> Path | None:
    """Where a domain's revisions for this store are; None where it has none."""
    if domain.revisions is None:
        return None
    try:
        found = importlib.util.find_spec(f"{domain.revisions}.{store}")
    except ModuleNotFoundError as error:
        raise DeclarationError(
            f"its revisions' package {domain.revisions} cannot be imported", operation="declare", target=domain.name
        ) from error
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))
