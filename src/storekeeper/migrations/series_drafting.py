"""What series lack, as the Python of a revision: those that revisions made against those that are declared. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from storekeeper.catalog import Hypertable
from storekeeper.migrations.drafting import Draft, quoted_text
from storekeeper.migrations.series_source import SeriesSource
from storekeeper.timescale.adjusting import columnstore_of, standing, wants_capture, wants_columnstore
from storekeeper.timescale.levels import Level, levels


@dataclass(frozen=True, slots=True)
class _Writing:
    source: SeriesSource = field(default_factory=SeriesSource)
    up: list[tuple[str, ...]] = field(default_factory=list)
    down: list[tuple[str, ...]] = field(default_factory=list)

    def both(self, up: tuple[str, ...], down: tuple[str, ...]) -> None:
        """A step, and what takes it back, which is done in the opposite order."""
        self.up.append(up)
        self.down.insert(0, down)


def drafted_series(made: Mapping[str, Hypertable], declared: Sequence[Hypertable]) -> Draft:
    """The draft that makes of what revisions have `made` what is `declared`, and back: the tables themselves are the
    same, where both have one. Empty where they have all that a store holds of it."""
    writing = _Writing()
    wanted = {hypertable.name: hypertable for hypertable in declared}
    for name in sorted(made.keys() - wanted.keys()):
        before = made[name]
        call, _ = writing.source.series(before)
        for rollup in reversed(before.rollups):
            writing.both(("drop_rollup", call, rollup.name), ("create_rollup", call, rollup.name))
        writing.both(("drop_hypertable", call), ("create_hypertable", call))
    for hypertable in declared:
        if hypertable.name not in made:
            _new(writing, hypertable)
        elif differs(made[hypertable.name], hypertable):
            _changed(writing, made[hypertable.name], hypertable)
    if not writing.up:
        return Draft()
    return Draft(
        tuple(map(_call, writing.up)),
        tuple(map(_call, writing.down)),
        tuple(sorted({step[0] for step in (*writing.up, *writing.down)})),
        header=writing.source.header,
        definitions=tuple(writing.source.definitions),
    )


def differs(before: Hypertable, after: Hypertable) -> bool:
    """Whether a store would hold a series otherwise. For how long rows and buckets are kept, and when chunks are
    compressed, is nothing that it holds."""
    stay = standing(before, after)
    return len(before.rollups) != stay or len(after.rollups) != stay or _is_set(before, stay) != _is_set(after, stay)


def lost(made: Mapping[str, Hypertable], declared: Sequence[Hypertable]) -> Iterator[str]:
    """Rollups that are dropped and made anew, by name."""
    for after in declared:
        before = made.get(after.name)
        if before is not None:
            names = {rollup.name for rollup in after.rollups}
            stay = standing(before, after)
            yield from (f"{after.schema}.{one.name}" for one in before.rollups[stay:] if one.name in names)


def unmade(made: Mapping[str, Hypertable], declared: Sequence[Hypertable]) -> Iterator[str]:
    """What is said otherwise than in the revisions, and is not made: jobs go by what is declared."""
    for after in declared:
        before = made.get(after.name)
        if before is None:
            continue
        for what in ("compress_after", "drop_after"):
            was, is_now = getattr(before, what), getattr(after, what)
            if was is not None and was != is_now:
                yield f"{what} of {after.name} ({was} → {is_now or 'never'}) is nothing that is made: jobs go by it"


def _new(writing: _Writing, hypertable: Hypertable) -> None:
    call, _ = writing.source.series(hypertable)
    writing.both(("create_hypertable", call), ("drop_hypertable", call))
    for rollup in hypertable.rollups:
        writing.both(("create_rollup", call, rollup.name), ("drop_rollup", call, rollup.name))


def _changed(writing: _Writing, before: Hypertable, after: Hypertable) -> None:
    stay = standing(before, after)
    now, was = writing.source.series(after, before)
    for rollup in reversed(before.rollups[stay:]):
        writing.both(("drop_rollup", was, rollup.name), ("create_rollup", was, rollup.name))
    if _is_set(before, stay) != _is_set(after, stay):
        writing.both(("alter_hypertable", was, now), ("alter_hypertable", now, was))
    for rollup in after.rollups[stay:]:
        writing.both(("create_rollup", now, rollup.name), ("drop_rollup", now, rollup.name))


def _is_set(hypertable: Hypertable, stay: int) -> tuple[object, ...]:
    """What an engine sets of a series and of the rollups that stay."""
    columnstore = columnstore_of(hypertable) if wants_columnstore(hypertable) else None
    chunks: Collection[object] = [level.chunk for level in levels(hypertable)[: stay + 1]]
    return *chunks, columnstore, wants_capture(Level(hypertable, 0)), hypertable.late_rows


def _call(step: tuple[str, ...]) -> str:
    name, first, *rest = step
    arguments = [one if one.endswith("()") else quoted_text(one) for one in rest]
    return f"{name}({', '.join([first, *arguments])})"
