"""How the collections that a catalogue declares differ from those on the server (pure), and closing the gap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from storekeeper.errors import MigrationError
from storekeeper.migrations.steps import Action, Step
from storekeeper.stores.mongo.mongo import Mongo
from storekeeper.stores.mongo.wanted import WantedCollection, WantedIndex


@dataclass(frozen=True, slots=True)
class Change:
    """A step, and what it is about: a collection as it should be, and an index of it where it is about that."""

    step: Step
    collection: WantedCollection
    index: WantedIndex | None = None


def reconcile(
    wanted: Iterable[WantedCollection], actual: Iterable[WantedCollection], *, prune: bool = False
) -> tuple[Change, ...]:
    """What is wanted less what is there, in the order in which it is done: nothing where they agree.

    `actual` holds all collections of the databases that are wanted. What nobody declared is reported; with `prune` it
    is dropped, last of all.
    """
    there = {(collection.database, collection.name): collection for collection in actual}
    declared = {(collection.database, collection.name): collection for collection in wanted}
    changes = [change for key, collection in declared.items() for change in _missing(collection, there.get(key))]
    for key, found in there.items():
        if key not in declared:
            changes.append(_undeclared(found, None, prune))
        else:
            strangers = (index for index in found.indexes if declared[key].index(index.name) is None)
            changes += [_undeclared(found, index, prune) for index in strangers]
    return tuple(changes)


def carry_out(change: Change, mongo: Mongo) -> None:
    """Does one change. Raises the store's errors."""
    database, name, index = change.collection.database, change.collection.name, change.index
    match change.step.action:
        case "report":
            pass
        case "create collection":
            mongo.create_collection(change.collection)
        case "set validator":
            mongo.set_validator(database, name, change.collection.validator)
        case "create index" if index is not None:
            mongo.create_index(database, name, index)
        case "change index" if index is not None:
            # the next run makes it where this one ends between the two
            mongo.drop_index(database, name, index.name)
            mongo.create_index(database, name, index)
        case "set expiry" if index is not None and index.expire_after_seconds is not None:
            mongo.set_ttl(database, name, index.name, index.expire_after_seconds)
        case "drop index" if index is not None:
            mongo.drop_index(database, name, index.name)
        case "drop collection":
            mongo.drop_collection(database, name)
        case other:
            raise MigrationError(f"{other} is nothing to do here", operation="migrate", target=change.step.target)


def _missing(wanted: WantedCollection, actual: WantedCollection | None) -> Iterator[Change]:
    if actual is None:
        yield _change("create collection", wanted)
        actual = replace(wanted, indexes=())
    if wanted.validator != actual.validator:
        yield _change("set validator", wanted, detail="documents that are there stay as they are")
    for index in wanted.indexes:
        yield from _index(wanted, index, actual.index(index.name))


def _index(collection: WantedCollection, wanted: WantedIndex, actual: WantedIndex | None) -> Iterator[Change]:
    if actual is None:
        yield _change("create index", collection, wanted, _life(wanted))
    elif (wanted.keys, wanted.unique) != (actual.keys, actual.unique):
        yield _change("change index", collection, wanted, "other keys, or uniqueness")
    elif wanted.expire_after_seconds != actual.expire_after_seconds:
        detail = f"{_life(actual) or 'expires never'} → {_life(wanted) or 'expires never'}"
        # an index that expires documents cannot be told to stop: it is made anew
        yield _change(
            "set expiry" if wanted.expire_after_seconds is not None else "change index", collection, wanted, detail
        )


def _undeclared(collection: WantedCollection, index: WantedIndex | None, prune: bool) -> Change:
    kind = "collection" if index is None else "index"
    if not prune:
        return _change("report", collection, index, f"{kind} that nobody declares; --prune drops it")
    return _change("drop collection" if index is None else "drop index", collection, index, "nobody declares it")


def _change(action: Action, collection: WantedCollection, index: WantedIndex | None = None, detail: str = "") -> Change:
    target = ".".join([collection.database, collection.name, *([index.name] if index else [])])
    return Change(Step("mongo", action, target, detail), collection, index)


def _life(index: WantedIndex) -> str:
    if index.expire_after_seconds is None:
        return ""
    days, rest = divmod(index.expire_after_seconds, 86_400)
    return f"expires after {index.expire_after_seconds} s" if rest else f"expires after {days} days"
