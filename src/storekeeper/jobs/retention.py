"""Drops what is old enough: partitions of relational tables, and chunks of series once every rollup holds them.

The order of a series, refresh → verify → raise the watermark → archive → detach → drop, is kept by the store, level by
level.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from storekeeper.catalog import Hypertable
from storekeeper.catalog.ranges import chunk_name
from storekeeper.errors import StorekeeperError
from storekeeper.jobs.each import each
from storekeeper.jobs.foreseen import LevelState, foresee, period
from storekeeper.jobs.job import Action, Steps
from storekeeper.jobs.old_partitions import dropped
from storekeeper.jobs.rollups import refreshed, states_of
from storekeeper.stores.timescale.values import Archived, Dropped
from storekeeper.timescale.chunks import Chunk
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.lifecycle import due_for_drop, new_watermark

if TYPE_CHECKING:
    from storekeeper.platform import Platform


def run(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields each partition that goes; of series what is refreshed, and of each level from which something goes: what
    verifies, the watermark, the chunks.

    The rows and bytes of a partition or chunk are the server's estimate.
    """
    work = [partial(dropped, platform, lifecycle) for lifecycle in platform.catalog.lifecycles]
    kept = [h for h in platform.catalog.hypertables if any(level.keep is not None for level in levels(h))]
    work += [partial(_retained, platform, hypertable) for hypertable in kept]
    return each(work, lambda retain: retain(as_of=as_of, dry_run=dry_run))


def _retained(platform: Platform, hypertable: Hypertable, *, as_of: datetime, dry_run: bool) -> Steps:
    store = platform.timescale
    states = states_of(platform, hypertable)
    marks = {state.level.name: state.watermark for state in states}
    yield from refreshed(platform, hypertable, as_of=as_of, dry_run=dry_run)
    if dry_run:
        gone = store.drop_chunks(hypertable, as_of=as_of, dry_run=True)
        yield from _told(levels(hypertable), with_new_chunks(states, gone, as_of), marks)
        return
    before = _chunks(platform, hypertable)
    try:
        gone = store.drop_chunks(hypertable, as_of=as_of)
    except (StorekeeperError, KeyboardInterrupt) as error:
        yield from _gone(platform, hypertable, before, error)
        raise
    yield from _told(levels(hypertable), gone, marks)


def with_new_chunks(states: Sequence[LevelState], gone: Iterable[Dropped], as_of: datetime) -> list[Dropped]:
    """What goes, with what goes of chunks that the refresh before it has yet to make, of history just loaded."""
    found = {one.dataset: one for one in gone}
    for refresh in foresee(states, as_of):
        level = refresh.level
        made = [
            Chunk(level.name, chunk_name(level.table_name, piece), piece, rows=0, bytes=0)
            for piece in refresh.new_chunks
        ]
        due = due_for_drop(level, made, as_of)
        if not due:
            continue
        known = found.get(level.name, Dropped(level.name, (), None, dry_run=True))
        raised = max(moment for moment in (known.watermark, new_watermark(level, due)) if moment is not None)
        chunks = sorted((*known.chunks, *due), key=lambda chunk: chunk.range)
        found[level.name] = replace(known, chunks=tuple(chunks), watermark=raised)
    return [found[state.level.name] for state in states if state.level.name in found]


def _told(series: Sequence[Level], gone: Iterable[Dropped], marks: dict[str, datetime | None]) -> Steps:
    """What retention did, or would do, in the order in which it is done."""
    by_name = {level.name: level for level in series}
    for one in gone:
        level, mark = by_name[one.dataset], marks[one.dataset]
        for refresh in one.refreshed:
            yield Action("refresh", refresh.dataset, "what changed meanwhile", rows=refresh.rows)
        if one.watermark is not None and (mark is None or one.watermark > mark):
            until = f"{one.watermark:%Y-%m-%d %H:%M}"
            for coarser in level.coarser:
                yield Action("verify", coarser.name, f"holds {one.dataset} before {until}")
            yield Action("raise watermark", one.dataset, f"to {until}")
        archived = {kept.chunk: kept for kept in one.archived}
        for chunk in one.chunks:
            if chunk in archived:
                yield _archive(archived[chunk], foreseen=one.dry_run)
            yield _drop(chunk, "drop chunk")


def _archive(kept: Archived, *, foreseen: bool) -> Action:
    if foreseen:
        detail = f"{period([kept.chunk.range])} to {kept.place}"
        return Action("archive", kept.chunk.label, detail, rows=kept.rows or None)
    detail = f"{period([kept.chunk.range])} in {kept.files} file{'s' if kept.files != 1 else ''} of {kept.place}"
    return Action("archive", kept.chunk.label, detail, rows=kept.rows, bytes=kept.bytes)


def _gone(platform: Platform, hypertable: Hypertable, before: dict[str, list[Chunk]], failure: BaseException) -> Steps:
    """What went before the failure: it is not to be had again, so it must be known."""
    try:
        after = _chunks(platform, hypertable)
    except StorekeeperError as error:
        failure.add_note(f"nor could be asked what was dropped before: {error}")
        return
    verb = "detach chunk" if platform.timescale.engine.detaches else "drop chunk"
    for level in levels(hypertable):
        left = {chunk.name for chunk in after[level.name]}
        for chunk in before[level.name]:
            if chunk.name not in left:
                yield _drop(chunk, verb)


def _chunks(platform: Platform, hypertable: Hypertable) -> dict[str, list[Chunk]]:
    return {level.name: platform.timescale.chunks(level.name) for level in levels(hypertable)}


def _drop(chunk: Chunk, verb: str) -> Action:
    """A chunk that was never analysed has no estimate of its rows."""
    return Action(verb, chunk.label, period([chunk.range]), rows=chunk.rows or None, bytes=chunk.bytes or None)
