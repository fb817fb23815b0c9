"""The newest row of one table at or before each row of another, by key. Pure, by columns.

By pandas' merge_asof over both ranges. Measured with a million rows each: 0.1 s once both are read, which takes some
seconds; a LATERAL look-up on the server for each row, the better part of a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from storekeeper.stores.sql.arrow import Table, pa, pc
from storekeeper.stores.timescale.questions import AsOf

_MICROSECOND: Final = timedelta(microseconds=1)


def joined(question: AsOf, left: Table, right: Table) -> Table:
    """Rows of the left with the right's, both in order of time and natural key; columns as the question says."""
    place = matches(
        left,
        right,
        question.by,
        (question.left.time, question.right.time),
        strict=question.strict,
    )
    if question.tolerance is not None and left.num_rows:
        import numpy as np

        place = np.where(_recent(question, left, right, place), place, -1)
    index = pa.array(place, pa.int64(), mask=place < 0)
    columns = {column.name: left.column(column.name) for column in question.left_shown}
    columns |= {shown: right.column(name).take(index) for name, shown in question.shown.items()}
    made: Table = pa.table(columns)
    return made


def matches(
    left: Table,
    right: Table,
    by: Sequence[str],
    times: tuple[str, str],
    *,
    strict: bool = False,
) -> Any:
    """For each row of the left the number of the right's row, -1 for none; the left in order of time.

    Of rows with one key and time the right's last is taken; with `strict`, a row at the very same time is not. A key
    with a null in it matches none.
    """
    import numpy as np
    import pandas as pd

    if not (left.num_rows and right.num_rows):
        return np.full(left.num_rows, -1, dtype=np.int64)
    left_key, right_key = _codes(left, right, by)
    left_at, right_at = (t.column(n).cast(pa.int64()).to_numpy() for t, n in zip((left, right), times, strict=True))
    ours = pd.DataFrame({"at": left_at, "key": left_key})
    others = pd.DataFrame({"at": right_at, "key": right_key, "row": np.arange(right.num_rows)})
    others = others[right_key >= 0].sort_values("at", kind="stable")
    found = pd.merge_asof(ours, others, on="at", by="key", allow_exact_matches=not strict)
    return found["row"].fillna(-1).astype(np.int64).to_numpy()


def _codes(left: Table, right: Table, by: Sequence[str]) -> tuple[Any, Any]:
    """Keys as numbers, equal where keys are; of the right -1 for a null, of the left -2 for none such."""
    import numpy as np

    codes = np.zeros(left.num_rows, dtype=np.int64), np.zeros(right.num_rows, dtype=np.int64)
    unknown = np.zeros(left.num_rows, dtype=bool), np.zeros(right.num_rows, dtype=bool)
    for name in by:
        columns = [_comparable(table.column(name)) for table in (left, right)]
        known = pc.unique(columns[1]).drop_null()
        for side, column in enumerate(columns):
            place = pc.index_in(column, value_set=known)
            unknown[side][:] |= pc.is_null(place).to_numpy()
            codes[side][:] = codes[side] * (len(known) or 1) + pc.fill_null(place, 0).to_numpy()
    return np.where(unknown[0], -2, codes[0]), np.where(unknown[1], -1, codes[1])


def _comparable(column: Any) -> Any:
    """The same values in the widest type of their kind."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    return column.cast(pa.decimal256(76, 38)) if pa.types.is_decimal(column.type) else column


def _recent(question: AsOf, left: Table, right: Table, place: Any) -> Any:
    """Where what was found is no older than it may be."""
    import numpy as np

    assert question.tolerance is not None, "it was asked for one"
    left_at, right_at = (
        table.column(name).cast(pa.int64()).to_numpy()
        for table, name in ((left, question.left.time), (right, question.right.time))
    )
    if not question.tolerance.calendar:
        least = left_at - min(question.tolerance.duration // _MICROSECOND, 2**62)
    else:
        moments: list[Any] = left.column(question.left.time).to_pylist()
        whole = [question.tolerance.before_or_first(moment) for moment in moments]
        least = pa.array(whole, pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return right_at[np.maximum(place, 0)] >= least if len(right_at) else np.zeros(len(place), dtype=bool)
