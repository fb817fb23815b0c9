# Generated from feed_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""What was written to a series, on its way to a keyspace: the newest row of each key."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from storekeeper.catalog import Keyspace
from storekeeper.errors import ColumnError
from storekeeper.stores.redis.redis import Redis
from storekeeper.stores.sql.arrow import Table, pa


class Feed:
    """Keeps hashes of a keyspace as new as the rows that are written; give it to a writer, or to append:

        feed = AsyncFeed(platform.redis, QUOTE, key={"symbol": "symbol"}, newest_by="updated_at",
                         fields={"price": "price", "volume": "volume", "updated_at": "time"})
        async with platform.timescale.writer("invest.intraday_prices", on_written=feed) as ticks: …

    `key` and `fields` name, for each part of the key and each field of the hash, the column that it comes from;
    `newest_by` the field that holds the row's time. A hash is replaced by the newest row of its key, and never by one
    that is older than itself, whoever writes in whichever order. It is fed after the commit: where that fails the rows
    stay, and the next row of the key puts it right.
    """

    def __init__(
        self,
        redis: Redis,
        keyspace: Keyspace | str,
        *,
        key: Mapping[str, str],
        fields: Mapping[str, str],
        newest_by: str,
    ) -> None:
        if newest_by not in fields:
            raise ColumnError(f"no field {newest_by!r}", operation="feed", target=str(keyspace))
        self._redis = redis
        self._keyspace = keyspace
        self._key = dict(key)
        self._fields = dict(fields)
        self._newest_by = newest_by

    def __call__(self, rows: Table) -> None:
        """Puts the newest row of each key. Raises ColumnError for a column that is missing, and what Redis raises."""
        wanted = {*self._key.values(), self._fields[self._newest_by]}
        missing = sorted(wanted.difference(rows.column_names))
        if missing:
            raise ColumnError(f"column {', '.join(missing)} is missing", operation="feed", target=str(self._keyspace))
        values = []
        for row in newest(rows, tuple(self._key.values()), self._fields[self._newest_by]).to_pylist():
            fields = {field: row[column] for field, column in self._fields.items() if column in row}
            values.append((fields, {part: row[column] for part, column in self._key.items()}))
        self._redis.put_newer(self._keyspace, values, by=self._newest_by)


def newest(rows: Table, key: tuple[str, ...], time: str) -> Table:
    """The newest row of each key; of several of one time the last."""
    codes = np.zeros(rows.num_rows, dtype=np.int64)
    for name in key:
        encoded = rows.column(name).combine_chunks().dictionary_encode()
        codes = codes * (len(encoded.dictionary) + 1) + encoded.indices.fill_null(-1).to_numpy() + 1
        _, codes = np.unique(codes, return_inverse=True)
    order = np.argsort(np.asarray(rows.column(time).cast(pa.int64()).to_numpy()), kind="stable")
    last = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.int64)
    last[codes[order]] = order  # of places that are set more than once the last counts
    return rows.take(pa.array(last))
