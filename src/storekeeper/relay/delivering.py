"""Delivers what the outbox holds: claimed row by row, in order within a key, at least once, by any number of relays."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from storekeeper.catalog import Effect
from storekeeper.ledger import outbox
from storekeeper.relay.delivery import Delivery, function_of, payload_of, reason_of, wait_after

if TYPE_CHECKING:
    from storekeeper.platform import Platform

_log = logging.getLogger("storekeeper.relay")

#: Keys that are looked up at a time, and rows of one key that are applied before the next key has its turn.
_KEYS: Final = 500
_TURN: Final = 100

_TARGET: Final = "storekeeper.outbox"


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a call of `deliver` came to: `count` effects were applied, `failed` attempts are noted with their reasons,
    `left` rows are undelivered still. `unknown` are the effects among those that no domain of the catalogue declares:
    they stay until one does."""

    count: int
    failed: int
    left: int
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery that was made, or failed for a reason."""

    effect: str
    key: str
    position: int
    error: str | None


def deliver(platform: Platform, *, limit: int = 1_000) -> Delivered:
    """Applies what is due in the outbox, up to `limit` attempts.

    An effect that fails is noted, waits, and holds back the later ones of its key alone. One that was applied by a
    process that died before it could say so is applied again. Raises the errors of the relational store.
    """
    count = failed = 0
    for attempt in attempts(platform):
        failed += attempt.error is not None
        count += attempt.error is None
        if count + failed >= limit:
            break
    left, unknown = waiting(platform)
    return Delivered(count, failed, left, unknown)


def waiting(platform: Platform) -> tuple[int, tuple[str, ...]]:
    """How many rows are undelivered, and the effects among them that the catalogue does not know."""
    known = _known(platform)
    with platform.postgres.begin(operation="read", target=_TARGET) as connection:
        counts = {effect: count for effect, count, _ in connection.execute(outbox.counted())}
    return sum(counts.values()), tuple(effect for effect in counts if effect not in known)


def undelivered(platform: Platform, limit: int, *, failed_only: bool = False) -> tuple[outbox.OutboxRow, ...]:
    """What is not delivered yet, oldest first."""
    with platform.postgres.begin(operation="read", target=_TARGET) as connection:
        rows = connection.execute(outbox.undelivered(limit, failed_only=failed_only))
        return tuple(map(outbox.decode_outbox, rows))


def attempts(platform: Platform) -> Iterator[Attempt]:
    """Applies what is due, one by one, and yields each attempt when it is committed; ends when nothing is due."""
    known = _known(platform)
    moved = bool(known)
    while moved:
        moved = False
        with platform.postgres.begin(operation="read", target=_TARGET) as connection:
            keys = connection.execute(outbox.due_keys(known, _KEYS)).scalars().all()
        for key in keys:
            for _ in range(_TURN):
                attempt = _attempt(platform, key, known)
                if attempt is None:
                    break
                moved = True
                yield attempt


def _attempt(platform: Platform, key: str, known: Mapping[str, Effect]) -> Attempt | None:
    """Applies the oldest effect of a key; None where there is nothing to do, or another relay does it.

    The row stays locked meanwhile: no other relay can take it, and a relay that dies gives it back with its connection.
    """
    with platform.postgres.begin(timeout=None, operation="deliver", target=_TARGET) as connection:
        found = connection.execute(outbox.claim(key, known)).one_or_none()
        if found is None:
            return None
        row = outbox.decode_outbox(found)
        error = _applied(platform, known[row.effect], row)
        if error is None:
            connection.execute(outbox.delivered(row.position))
        else:
            connection.execute(outbox.failed(row.position, error, again_in=wait_after(row.attempts + 1)))
    return Attempt(row.effect, key, row.position, error)


def _applied(platform: Platform, effect: Effect, row: outbox.OutboxRow) -> str | None:
    """Calls the effect's function; the reason where it fails."""
    delivery = Delivery(row.position, row.key, row.recorded_at, row.attempts + 1)
    try:
        function_of(effect.apply)(platform, payload_of(effect, row.payload), delivery)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is noted, and holds back this key alone
        _log.warning("%s %d, attempt %d: %s", effect.name, row.position, delivery.attempt, reason_of(error))
        return reason_of(error)
    return None


def _known(platform: Platform) -> dict[str, Effect]:
    return {effect.name: effect for effect in platform.catalog.effects}
