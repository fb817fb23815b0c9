"""Which chunks lie in the cold tier, and in which files: statements for the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from storekeeper.ledger.tables import archived_files, archived_parts, archives

_parts, _files = archived_parts.c, archived_files.c
_COUNTS = _parts.state == "kept"


def begin_archive(dataset: str, complete_from: datetime | None) -> sa.Insert:
    """Notes from where on the cold tier holds all that is dropped; does nothing where that is noted already."""
    return insert(archives).values(dataset=dataset, complete_from=complete_from).on_conflict_do_nothing()


def break_archive(dataset: str, moment: datetime) -> sa.Update:
    """Rows below `moment` are dropped and not archived: the cold tier is complete from there on at best."""
    later = sa.func.greatest(archives.c.complete_from, moment)
    return sa.update(archives).where(archives.c.dataset == dataset).values(complete_from=later)


def archive_of(dataset: str) -> sa.Select[Any]:
    """`complete_from`; no row where the dataset was never archived."""
    return sa.select(archives.c.complete_from).where(archives.c.dataset == dataset)


def begin_part(part: str, dataset: str, chunk: str, lower: datetime, upper: datetime, location: str) -> sa.Insert:
    """Before the first file of a part is written."""
    return sa.insert(archived_parts).values(
        id=part, dataset=dataset, chunk=chunk, lower=lower, upper=upper, location=location
    )


def keep_part(part: str, *, rows: int, bytes_: int, content: str, manifest: str) -> sa.Update:
    """From its commit on the files of a part count. Touches no row where somebody took the part for dead."""
    return (
        sa.update(archived_parts)
        .where(_parts.id == part, _parts.state == "writing")
        .values(
            state="kept",
            rows=rows,
            bytes=bytes_,
            content=content,
            manifest=manifest,
            archived_at=sa.func.clock_timestamp(),
        )
    )


def note_files(files: Sequence[Mapping[str, object]]) -> sa.Insert:
    """`files` are rows of archived_files; at least one."""
    return sa.insert(archived_files).values([dict(file) for file in files])


def replace_part(part: str) -> sa.Update:
    """Another part holds what this one held. Touches no row where its chunk was dropped since: then this part alone has
    the rows."""
    return (
        sa.update(archived_parts)
        .where(_parts.id == part, _COUNTS, _parts.dropped_at.is_(None))
        .values(state="replaced")
    )


def kept_part(dataset: str, chunk: str) -> sa.Select[Any]:
    """The part of a chunk that is still there: `id`, `rows`, `bytes`, `content`; its file count as `files`."""
    files = sa.select(sa.func.count()).where(_files.part == _parts.id).scalar_subquery()
    return sa.select(_parts.id, _parts.rows, _parts.bytes, _parts.content, files.label("files")).where(
        _parts.dataset == dataset, _parts.chunk == chunk, _COUNTS, _parts.dropped_at.is_(None)
    )


def drop_part(part: str) -> sa.Update:
    """In the transaction that drops the chunk. Touches no row where another part holds its rows now."""
    return (
        sa.update(archived_parts)
        .where(_parts.id == part, _COUNTS, _parts.dropped_at.is_(None))
        .values(dropped_at=sa.func.clock_timestamp())
    )


def dead_parts(dataset: str) -> sa.Select[Any]:
    """Parts whose files do not count: `id`, `lower`, `upper`, `state`. Who holds the archive lock knows that none is
    being written."""
    return sa.select(_parts.id, _parts.lower, _parts.upper, _parts.state).where(_parts.dataset == dataset, ~_COUNTS)


def forget_parts(parts: Iterable[str]) -> sa.Delete:
    return sa.delete(archived_parts).where(_parts.id.in_(list(parts)), ~_COUNTS)


def held_chunk(dataset: str, chunk: str) -> sa.Select[tuple[bool]]:
    """Whether a chunk of this name is archived and not dropped."""
    held = sa.select(_parts.id).where(
        _parts.dataset == dataset, _parts.chunk == chunk, _COUNTS, _parts.dropped_at.is_(None)
    )
    return sa.select(held.exists())


def _gone(table: str) -> sa.TextClause:
    return sa.text(
        "NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS link "
        "JOIN pg_catalog.pg_class AS held ON held.oid = link.inhrelid "
        "WHERE link.inhparent = to_regclass(:cold_table) AND NOT link.inhdetachpending "
        "AND held.relname = archived_parts.chunk)"
    ).bindparams(cold_table=table)


def _cold(dataset: str, table: str) -> list[sa.ColumnElement[bool]]:
    return [_parts.dataset == dataset, _COUNTS, sa.or_(_parts.dropped_at.is_not(None), _gone(table))]


def cold_parts(dataset: str, table: str) -> sa.Select[Any]:
    """`lower` and `upper` of the parts whose rows the cold tier shows, as `cold_files`."""
    return sa.select(_parts.lower, _parts.upper).where(*_cold(dataset, table)).order_by(_parts.lower)


def cold_files(dataset: str, table: str, lower: datetime | None, upper: datetime | None) -> sa.Select[Any]:
    """The files to be read for [lower, upper), the oldest part first: those of parts whose chunk is no longer part of
    `table` (a name as regclass reads it), in the snapshot of whoever asks. As long as it is, the store has its rows.

    `path`, `sha256`, `rows`, `bytes`, `earliest`, `latest`, `part`, `lower`, `upper` and `location`.
    """
    conditions = _cold(dataset, table)
    if lower is not None:
        conditions += [_parts.upper > lower, _files.latest >= lower]
    if upper is not None:
        conditions += [_parts.lower < upper, _files.earliest < upper]
    return (
        sa.select(
            _files.path,
            _files.sha256,
            _files.rows,
            _files.bytes,
            _files.earliest,
            _files.latest,
            _parts.id.label("part"),
            _parts.lower,
            _parts.upper,
            _parts.location,
        )
        .join(archived_parts, _files.part == _parts.id)
        .where(*conditions)
        .order_by(_parts.archived_at, _parts.id, _files.earliest)
    )


def cold_extent(dataset: str, table: str) -> sa.Select[Any]:
    """`earliest` and `latest` of all files of `cold_files`; NULL where there is none."""
    return (
        sa.select(sa.func.min(_files.earliest).label("earliest"), sa.func.max(_files.latest).label("latest"))
        .join(archived_parts, _files.part == _parts.id)
        .where(*_cold(dataset, table))
    )


def all_parts(dataset: str | None = None) -> sa.Select[Any]:
    """Every part that counts, in order of dataset and time, with its number of `files`."""
    files = sa.select(sa.func.count()).where(_files.part == _parts.id).scalar_subquery()
    statement = sa.select(archived_parts, files.label("files")).where(_COUNTS)
    if dataset is not None:
        statement = statement.where(_parts.dataset == dataset)
    return statement.order_by(_parts.dataset, _parts.lower, _parts.archived_at)


def files_of(part: str) -> sa.Select[Any]:
    return sa.select(archived_files).where(_files.part == part).order_by(_files.earliest)
