"""How TimescaleDB of each version calls what the platform needs of it: one table, and nothing else asks for a version.

What is spelled alike in all of them is not here: create_hypertable with by_range, drop_chunks, continuous aggregates,
the views chunks, dimensions, jobs. Hypertables are made by that function, and not by options of CREATE TABLE: from 2.20
on these are there too, but they bring a columnstore policy of the server's own with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Spelling:
    """The words of the versions from `since` on. `{schema}` is the extension's, `{chunk}` and `{table}` text constants.

    `refresh` are arguments by which a refresh makes its window anew in one piece, whatever the server thinks has
    changed; before 2.18 it makes what the server has noted. `transition_tables`: statement triggers of hypertables see
    the rows that came and went. `copies_late`: COPY may bring rows for compressed chunks; before 2.15 the process of
    the server dies of it where there is a unique index. `makes_again`: a chunk that was dropped can be made before its
    rows come; else they make it.
    """

    since: Version
    columnstore: str  # options of a table
    segment_by: str
    order_by: str
    compress: str  # a chunk; one with rows beside its columnstore takes them in
    remove_compression: str  # a policy of the server's
    settings: str  # the view of what hypertables have set
    refresh: str
    transition_tables: bool
    copies_late: bool
    makes_again: bool
    known_chunk: str  # that `known` of the catalog is `chunk` of the views, whose relation is `part`
    packed_in: str  # the relation that holds the columnstore of `known`


_2_14: Final = Spelling(
    (2, 14),
    columnstore="timescaledb.compress",
    segment_by="timescaledb.compress_segmentby",
    order_by="timescaledb.compress_orderby",
    compress="SELECT {schema}.compress_chunk({chunk}::regclass, if_not_compressed => true)",
    remove_compression="SELECT {schema}.remove_compression_policy({table})",
    settings="hypertable_compression_settings",
    refresh="",
    transition_tables=False,
    copies_late=False,
    makes_again=False,
    known_chunk="known.schema_name = chunk.chunk_schema AND known.table_name = chunk.chunk_name",
    packed_in="(SELECT to_regclass(quote_ident(store.schema_name) || '.' || quote_ident(store.table_name)) "
    "FROM _timescaledb_catalog.chunk AS store WHERE store.id = known.compressed_chunk_id)",
)
_2_15: Final = replace(_2_14, since=(2, 15), copies_late=True, makes_again=True)
_2_18: Final = replace(
    _2_15,
    since=(2, 18),
    columnstore="timescaledb.enable_columnstore",
    segment_by="timescaledb.segmentby",
    order_by="timescaledb.orderby",
    compress="CALL {schema}.convert_to_columnstore({chunk}::regclass, if_not_columnstore => true)",
    remove_compression="CALL {schema}.remove_columnstore_policy({table})",
    settings="hypertable_columnstore_settings",
    refresh=", force => true",
    transition_tables=True,
)
_2_28: Final = replace(
    _2_18,
    since=(2, 28),
    # in batches of ten buckets otherwise, each a transaction: twenty times as long for a day of 5 minutes
    refresh=""", force => true, options => '{"buckets_per_batch": 0}'""",
)
_2_29: Final = replace(
    _2_28,
    since=(2, 29),
    known_chunk="known.relid = part.oid",
    packed_in="(SELECT store.compress_relid FROM _timescaledb_catalog.compression_settings AS store "
    "WHERE store.relid = known.relid)",
)
SPELLINGS: Final = (_2_14, _2_15, _2_18, _2_28, _2_29)

#: The oldest version that the engine is written for, and the newest that it was run on.
OLDEST: Final = SPELLINGS[0].since
NEWEST: Final[Version] = (2, 29)


def parsed(version: str) -> Version:
    """(2, 23) of "2.23.0-dev"; (0, 0) of what is no version."""
    parts = version.replace("-", ".").split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit() else (0, 0)


def spelling(version: Version) -> Spelling:
    """The words of a version, of the newest that is listed and not newer; those of the first for what is older."""
    return next((one for one in reversed(SPELLINGS) if one.since <= version), SPELLINGS[0])
