"""The hash chain that seals the audit log: its links, the statements over them, and the walk that checks them. Pure.

Committed rows that are not sealed yet are in `audit_pending`; one job at a time takes them from there to the end of the
chain. Nothing goes by the order of ids: a row may be committed long after one with a higher id was sealed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa

from storekeeper.clock import as_utc
from storekeeper.errors import InputError
from storekeeper.ledger.audit import ROW, AuditRow
from storekeeper.ledger.tables import audit_chain, audit_log, audit_pending

#: How long a committed row may go without being sealed.
UNSEALED: Final = timedelta(seconds=10)
#: A row that is older than this, and was not there when the chain was sealed meanwhile, was slipped in.
LATE: Final = timedelta(minutes=5)
_GENESIS: Final = bytes(32)
_LINK = (audit_chain.c.position, audit_chain.c.row_id, audit_chain.c.hash, audit_chain.c.sealed_at)


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the chain."""

    position: int
    row_id: int
    hash: bytes
    sealed_at: datetime


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the chain was once: a position, and the hash that was there. Kept elsewhere, it bears witness."""

    position: int
    hash: bytes

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """From "POSITION:HASH", as `str()` writes it. Raises InputError."""
        position, _, digest = text.partition(":")
        try:
            anchor = cls(int(position), bytes.fromhex(digest))
        except ValueError:
            anchor = cls(-1, b"")
        if anchor.position < 0 or len(anchor.hash) != len(_GENESIS):
            raise InputError(
                f"{text!r} is no anchor", operation="verify", hint="give POSITION:HASH, as `audit verify` prints it"
            )
        return anchor

    def __str__(self) -> str:
        return f"{self.position}:{self.hash.hex()}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was sealed. `row_id` and `position` are None where it has none."""

    kind: Literal["changed", "missing", "inserted", "unsealed", "cut off"]
    cause: str
    row_id: int | None = None
    position: int | None = None


def link_hash(before: bytes, position: int, sealed_at: datetime, row: AuditRow) -> bytes:
    """The hash of a link: sha256 over the hash before it, and its place, its time and its row as JSON."""
    canonical = json.dumps(
        [
            position,
            _moment(sealed_at),
            row.id,
            _moment(row.at),
            row.action,
            row.subject,
            row.subject_id,
            row.actor,
            row.request_id,
            row.db_role,
            row.detail,
        ],
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(before + canonical.encode("utf-8", "surrogatepass")).digest()


def extended(end: Link | None, rows: Sequence[AuditRow], sealed_at: datetime) -> tuple[Link, ...]:
    """The links that seal these rows, after the last one there is."""
    links = []
    before, position = (end.hash, end.position) if end is not None else (_GENESIS, 0)
    for row in rows:
        position += 1
        before = link_hash(before, position, sealed_at, row)
        links.append(Link(position, row.id, before, sealed_at))
    return tuple(links)


class Walk:
    """Goes along the chain from its beginning and says what is not as it was sealed."""

    def __init__(self, expect: Anchor | None = None) -> None:
        self.head = Anchor(0, _GENESIS)
        self._expect = expect
        self._sealed_at: datetime | None = None  # of the run before
        self._run_before: datetime | None = None

    def step(self, link: Link, row: AuditRow | None) -> Iterator[Finding]:
        """One link, and the row that it seals, if that is still there.

        A finding does not taint what comes after it: the walk goes on from the hash that is written there.
        """
        position, row_id = link.position, link.row_id
        if position != self.head.position + 1:
            gone = f"links {self.head.position + 1} to {position - 1} are gone"
            yield Finding("missing", gone, position=self.head.position + 1)
        elif row is not None and link_hash(self.head.hash, position, link.sealed_at, row) != link.hash:
            yield Finding("changed", "the row, or the link that seals it, is not what it was", row_id, position)
        if row is None:
            yield Finding("missing", "the row is gone from the log", row_id, position)
        else:
            yield from self._late(link, row)
        self.head = Anchor(position, link.hash)
        if self._expect is not None and self._expect.position == position and self._expect.hash != link.hash:
            yield Finding("changed", "the chain up to here is not the one of the anchor", None, position)

    def end(self) -> Iterator[Finding]:
        """What can be said once the last link was seen."""
        if self._expect is not None and self._expect.position > self.head.position:
            cause = f"the chain reached {self._expect.position} once, and ends at {self.head.position}"
            yield Finding("cut off", cause, None, self.head.position)

    def _late(self, link: Link, row: AuditRow) -> Iterator[Finding]:
        # rows that were sealed together say nothing of each other: after an outage many are old
        if link.sealed_at != self._sealed_at:
            self._run_before, self._sealed_at = self._sealed_at, link.sealed_at
        if self._run_before is not None and self._run_before - row.at > LATE:
            cause = (
                f"it says {_moment(row.at)}, and was not there when the log was sealed at {_moment(self._run_before)}"
            )
            yield Finding("inserted", cause, link.row_id, link.position)


def newest_pending() -> sa.Select[Any]:
    """The highest id among the rows that are to be sealed; null where there are none."""
    return sa.select(sa.func.max(audit_pending.c.row_id))


def pending_rows(up_to: int, limit: int) -> sa.Select[Any]:
    """Committed rows that are not sealed yet, up to an id, for `decode_row`."""
    joined = audit_pending.join(audit_log, audit_log.c.id == audit_pending.c.row_id)
    wanted = audit_pending.c.row_id <= up_to
    return sa.select(*ROW).select_from(joined).where(wanted).order_by(audit_log.c.id).limit(limit)


def count_pending() -> sa.Select[Any]:
    """How many rows wait to be sealed."""
    return sa.select(sa.func.count()).select_from(audit_pending)


def last_link() -> sa.Select[Any]:
    """The last link of the chain, for `decode_link`; no row where nothing was sealed yet."""
    return sa.select(*_LINK).order_by(audit_chain.c.position.desc()).limit(1)


def append_links(links: Sequence[Link]) -> sa.Insert:
    """Puts links at the end of the chain."""
    return sa.insert(audit_chain).values(
        [
            {"position": link.position, "row_id": link.row_id, "hash": link.hash, "sealed_at": link.sealed_at}
            for link in links
        ]
    )


def take_off(links: Sequence[Link]) -> sa.Delete:
    """Takes the rows of these links off the list of what is pending."""
    ids = sa.literal([link.row_id for link in links], sa.ARRAY(sa.BigInteger))
    return sa.delete(audit_pending).where(audit_pending.c.row_id == sa.any_(ids))


def whole_chain() -> sa.Select[Any]:
    """Every link in order, each followed by its row of the log (nulls where that is missing): for `decode_both`."""
    joined = audit_chain.outerjoin(audit_log, audit_log.c.id == audit_chain.c.row_id)
    return sa.select(*_LINK, *ROW).select_from(joined).order_by(audit_chain.c.position)


def left_out() -> sa.Select[Any]:
    """Rows older than `UNSEALED` that are not in the chain, for `decode_left_out`."""
    listed = sa.exists().where(audit_pending.c.row_id == audit_log.c.id)
    sealed = sa.exists().where(audit_chain.c.row_id == audit_log.c.id)
    old = audit_log.c.at < sa.func.clock_timestamp() - UNSEALED
    return sa.select(audit_log.c.id, audit_log.c.at, listed).where(~sealed, old).order_by(audit_log.c.id)


def listed_in_vain() -> sa.Select[Any]:
    """The ids of rows that are on the list of what is pending, and not in the log, for `decode_in_vain`."""
    logged = sa.exists().where(audit_log.c.id == audit_pending.c.row_id)
    return sa.select(audit_pending.c.row_id).where(~logged).order_by(audit_pending.c.row_id)


def decode_link(row: Sequence[Any] | None) -> Link | None:
    return None if row is None else Link(*row)


def decode_both(row: Sequence[Any]) -> tuple[Link, AuditRow | None]:
    found = row[len(_LINK) :]
    return Link(*row[: len(_LINK)]), None if found[0] is None else AuditRow(*found)


def decode_left_out(row: Sequence[Any]) -> Finding:
    row_id, at, listed = row
    if listed:
        return Finding("unsealed", f"it waits to be sealed since {_moment(at)}", row_id)
    return Finding("inserted", f"it says {_moment(at)}, and was never noted as to be sealed", row_id)


def decode_in_vain(row: Sequence[Any]) -> Finding:
    return Finding("missing", "the row is gone from the log before it was sealed", row[0])


def _moment(moment: datetime) -> str:
    return as_utc(moment).isoformat(timespec="microseconds").replace("+00:00", "Z")
