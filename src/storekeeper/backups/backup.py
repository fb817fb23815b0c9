"""Makes a backup: which server, which engine, into the repository, or in a dry run only what would be done."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

from storekeeper.backups.manifest import Inventory, Kind, Manifest, label_of
from storekeeper.backups.planning import Sources, plan_backup
from storekeeper.backups.repository import Draft, Repository
from storekeeper.backups.running import Deadline, Errand
from storekeeper.backups.taken import Plan, Taken
from storekeeper.catalog.backup import StoreName
from storekeeper.clock import Clock, as_utc
from storekeeper.errors import BackupError, RepositoryFullError
from storekeeper.settings import Settings

if TYPE_CHECKING:
    from storekeeper.platform import Platform

#: How long a backup may take, from its start to its name.
DEADLINE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What was done, or would be.

    `bytes` is the size of the backup, in a dry run an estimate. Where `skipped_reason` is set nothing was done: the
    backup of that label is there already, and `manifest` is its. `swept` are what killed runs left and was removed.
    """

    server: str
    label: str
    kind: Kind
    stores: tuple[str, ...]
    bytes: int
    seconds: float
    detail: str
    dry_run: bool = False
    manifest: Manifest | None = field(default=None, repr=False)
    skipped_reason: str | None = None
    swept: tuple[str, ...] = ()


def back_up(
    store: StoreName,
    *,
    sources: Sources,
    repository: Repository,
    clock: Clock,
    as_of: datetime,
    dry_run: bool = False,
    shared_since: datetime | None = None,
    deadline: timedelta = DEADLINE,
) -> BackedUp:
    """Makes a full backup of the server on which a store lives, named by `as_of`, a moment with a zone.

    Where postgres and timescale are one cluster one backup serves both: with `shared_since`, one of them as of that
    moment or later is enough, and no other is made. Asked for again with the same moment it skips.
    A dry run inspects the server, finds the tools, and writes nothing.

    Raises the stores' errors where the server can't be asked, BackupError where it can't be copied, RepositoryFullError
    where there is no room, AlreadyRunningError, MissingBinaryError. Whatever it raises, and however the process ends,
    no half backup is left.
    """
    asked = time.monotonic()
    until = Deadline.within(deadline.total_seconds())
    moment = as_utc(as_of)
    plan = plan_backup(store, sources)
    label = label_of(moment, plan.kind)
    target = f"{plan.server}/{label}"
    if label in repository.labels(plan.server):
        return _skipped(plan, repository.read(plan.server, label), dry_run)
    serving = _serving(plan, repository, shared_since, moment)
    if serving is not None:
        return _skipped(plan, serving, dry_run)
    free = repository.free_bytes()
    if plan.needed_bytes > free:
        raise RepositoryFullError(
            f"it needs about {plan.needed_bytes:,} bytes, and {free:,} are free in {repository.root}",
            operation="back up",
            target=target,
            hint="make room, or name a larger place (STOREKEEPER_BACKUPS)",
        )
    if dry_run:
        seconds = time.monotonic() - asked
        return BackedUp(plan.server, label, plan.kind, plan.stores, plan.bytes, seconds, plan.detail, dry_run=True)
    started, begun = clock.now(), time.monotonic()
    with repository.writing(plan.server, label) as draft:
        taken = _take(plan, draft, Errand(target, until, inherit=(draft.lock,)), repository)

        def describe(inventory: Inventory) -> Manifest:
            taken.confirm(inventory)
            until.check(target=target)
            return _manifest(plan, taken, inventory, label, moment, started, clock.now(), time.monotonic() - begun)

        manifest = draft.commit(describe)
    return BackedUp(
        plan.server,
        label,
        plan.kind,
        plan.stores,
        manifest.bytes,
        time.monotonic() - asked,
        plan.detail,
        manifest=manifest,
        swept=draft.swept,
    )


def back_up_store(
    platform: Platform,
    store: StoreName,
    *,
    as_of: datetime,
    dry_run: bool = False,
    shared_since: datetime | None = None,
) -> BackedUp:
    """`back_up` of a store of a platform, into its repository. See there."""
    # The other SQL store is asked for only to see whether it lives on the same cluster.
    relational = store in ("postgres", "timescale")
    sources = Sources(
        postgres=platform.url("postgres", direct=True) if relational else None,
        timescale=platform.url("timescale", direct=True) if relational else None,
        mongo=platform.url("mongo") if store == "mongo" else None,
        redis=platform.url("redis") if store == "redis" else None,
        mongo_prefix=platform.settings.mongo_database,
    )
    return back_up(
        store,
        sources=sources,
        repository=repository_at(platform.settings),
        clock=platform.clock,
        as_of=as_of,
        dry_run=dry_run,
        shared_since=shared_since,
    )


def repository_at(settings: Settings) -> Repository:
    """The repository that the settings name."""
    return Repository((settings.backups or settings.directory / "backups").absolute())


def _take(plan: Plan, draft: Draft, errand: Errand, repository: Repository) -> Taken:
    """Runs the engine; where a tool failed on a disk that has no room left, says that."""
    try:
        return plan.take(draft.path, errand)
    except BackupError as error:
        free = repository.free_bytes()
        if isinstance(error, RepositoryFullError) or free > _least_room(plan):
            raise
        raise RepositoryFullError(
            f"{free:,} bytes are free in {repository.root}, and then: {error.cause}",
            operation="back up",
            target=errand.target,
            hint="nothing of it was kept: make room, or name a larger place (STOREKEEPER_BACKUPS)",
        ) from error


def _least_room(plan: Plan) -> int:
    """Below this a program may have failed for want of room, which it tells in words only."""
    return max(plan.chunk_bytes, 1 << 20)


def _serving(plan: Plan, repository: Repository, since: datetime | None, until: datetime) -> Manifest | None:
    """The newest backup of a shared cluster between two moments; None where there is none, or nothing is shared."""
    if since is None or len(plan.stores) == 1:
        return None
    for label in reversed(repository.labels(plan.server)):
        manifest = repository.read(plan.server, label)
        same = manifest.identity == plan.identity and set(plan.stores) <= set(manifest.stores)
        if same and as_utc(since) <= manifest.as_of <= until:
            return manifest
    return None


def _skipped(plan: Plan, manifest: Manifest, dry_run: bool) -> BackedUp:
    target = f"{manifest.server}/{manifest.label}"
    if manifest.identity != plan.identity and plan.identity:
        raise BackupError(
            "a backup of that label is there, of another server",
            operation="back up",
            target=target,
            hint="use a repository for each installation",
        )
    return BackedUp(
        manifest.server,
        manifest.label,
        manifest.kind,
        manifest.stores,
        0,
        0.0,
        plan.detail,
        dry_run,
        manifest,
        f"{target} of {' and '.join(manifest.stores)} is there already",
    )


def _manifest(
    plan: Plan,
    taken: Taken,
    inventory: Inventory,
    label: str,
    as_of: datetime,
    started: datetime,
    finished: datetime,
    seconds: float,
) -> Manifest:
    return Manifest(
        label=label,
        server=plan.server,
        stores=plan.stores,
        kind=plan.kind,
        engine=taken.engine,
        server_version=taken.server_version,
        identity=taken.identity,
        as_of=as_of,
        started=as_utc(started),
        finished=as_utc(finished),
        seconds=round(seconds, 3),
        consistency=taken.consistency,
        files=inventory.files,
        empty_directories=inventory.empty_directories,
        bytes=inventory.bytes,
        storekeeper=version("storekeeper"),
        position=taken.position,
        counts=taken.counts,
        details=taken.details,
        tools=taken.tools,
        notes=taken.notes,
    )
