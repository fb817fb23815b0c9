"""New revisions: the file of the next number of a domain, with what its tables lack as literal SQL."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from storekeeper.catalog import Domain, load_catalog
from storekeeper.errors import DeclarationError, InputError, SettingsError, StoreError
from storekeeper.migrations.comparing import comparison
from storekeeper.migrations.connection import connected
from storekeeper.migrations.drafting import Draft, drafted, hinted, source
from storekeeper.migrations.environment import recorded_revisions
from storekeeper.migrations.history import PLATFORM, History, SqlStore
from storekeeper.migrations.series_comparing import compared_series
from storekeeper.platform import Platform, connect
from storekeeper.settings import Settings

_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Written:
    """The file, the id of the revision in it, and what whoever asked for it should know."""

    path: str
    revision: str
    hints: tuple[str, ...]


def write_revision(
    domain: str,
    message: str,
    *,
    store: SqlStore = "postgres",
    directory: Path | None = None,
    catalog: str | None = None,
) -> Written:
    """Writes the next revision of a domain into its package. What differs from the store is in it, where that can be
    reached and nothing is pending; else it is empty, and the hints say why.

    Raises DeclarationError for a domain without a package of revisions, InputError for a message without words.
    """
    text = " ".join(message.split())
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:_LONGEST_NAME].rstrip("_")
    if not slug:
        raise InputError("says nothing", operation="migrate new", target="--message")
    settings = Settings.load(directory=directory, catalog=catalog)
    declared = load_catalog(settings.catalog)
    folder = _folder(declared.domain(domain), store)
    lines = History(store, declared).branches.get(domain, ())
    before = lines[-1].revision if lines else None
    number = 1 + (int(before.rpartition("_")[2]) if before else 0)
    draft, hints = _difference(domain, store, directory, catalog)
    path = folder / f"{number:04}_{slug}.py"
    path.write_text(source(domain, text, f"{domain}_{number:04}", before, draft))
    return Written(str(path), f"{domain}_{number:04}", hints)


def _folder(domain: Domain, store: SqlStore) -> Path:
    """Where the domain's revisions of this store are; made where it is the first one."""
    found = importlib.util.find_spec(domain.revisions) if domain.revisions else None
    if found is None or not found.submodule_search_locations:
        raise DeclarationError(
            "has no package of revisions",
            operation="migrate new",
            target=domain.name,
            hint='make one, and name it: Domain(revisions="mycompany.data.revisions")',
        )
    folder = Path(next(iter(found.submodule_search_locations))) / store
    if not folder.exists():
        folder.mkdir()
        (folder / "__init__.py").write_text(f'"""Revisions of {domain.name} in the {store} store."""\n')
    return folder


def _difference(
    domain: str, store: SqlStore, directory: Path | None, catalog: str | None
) -> tuple[Draft, tuple[str, ...]]:
    try:
        with connect(stores=("postgres",), directory=directory, catalog=catalog) as platform:
            return _compared(platform, domain, store)
    except (SettingsError, StoreError) as error:
        return Draft(), (f"it is empty: no store to compare with ({error.cause})",)


def _compared(platform: Platform, domain: str, store: SqlStore) -> tuple[Draft, tuple[str, ...]]:
    with connected(platform, store) as connection:
        history = History(store, platform.catalog)
        recorded = recorded_revisions(connection, store)
        history.admit(recorded)
        pending = [s.revision for name in (PLATFORM, domain) for s in history.pending(name, recorded)]
        if pending:
            return Draft(), (f"it is empty: {', '.join(pending)} is pending; migrate, then compare",)
        produced = comparison(connection, store, platform.catalog, only=domain)
        assert produced.upgrade_ops is not None
        assert produced.downgrade_ops is not None
        if store == "timescale":
            return compared_series(connection, history, platform.catalog.domain(domain), produced)
    if produced.upgrade_ops.is_empty():
        return Draft(), ("it is empty: the domain's tables are as declared",)
    return hinted(drafted(produced.upgrade_ops.ops, produced.downgrade_ops.ops))
