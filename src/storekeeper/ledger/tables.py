"""The tables of the schema `storekeeper`, in each SQL store. Their history is in the platform's own revisions."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from storekeeper.catalog.naming import NAMING_CONVENTION

SCHEMA = "storekeeper"

#: The postgres store's tables, and the timescale store's; both may stand in one database.
POSTGRES = sa.MetaData(schema=SCHEMA, naming_convention=NAMING_CONVENTION)
TIMESCALE = sa.MetaData(schema=SCHEMA, naming_convention=NAMING_CONVENTION)

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")

#: One row a run of a job. `scheduled_at` is null where it was run by hand; `report` lists what it did.
#: A dry run changes nothing, this table included.
runs = sa.Table(
    "runs",
    POSTGRES,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("scheduled_at", _TIME),
    sa.Column("as_of", _TIME, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="running"),
    sa.Column("runner", sa.Text, nullable=False),  # host and process
    sa.Column("started_at", _TIME, nullable=False, server_default=sa.text("clock_timestamp()")),
    sa.Column("finished_at", _TIME),
    sa.Column("rows", sa.BigInteger),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("reason", sa.Text),  # why it failed, was called off, or is held to have died
    sa.Column("report", JSONB, nullable=False, server_default=sa.text("'[]'")),
    sa.CheckConstraint("state IN ('running', 'done', 'failed', 'cancelled', 'died')", name="check_state"),
    sa.CheckConstraint("(state = 'running') = (finished_at IS NULL)", name="check_finished"),
)
sa.Index("idx_runs_job_started", runs.c.job, runs.c.started_at.desc())
# a tick is claimed by its row; one that was called off in the middle may be claimed again
sa.Index(
    "idx_runs_tick",
    runs.c.job,
    runs.c.scheduled_at,
    unique=True,
    postgresql_where=sa.text("scheduled_at IS NOT NULL AND state <> 'cancelled'"),
)

#: One row a catalogue that `migrate` applied; the newest (highest id) is the one in force.
applied_catalogues = sa.Table(
    "applied_catalogues",
    POSTGRES,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("digest", sa.CHAR(64), nullable=False),  # sha256, hexadecimal
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("domains", sa.ARRAY(sa.Text), nullable=False),
    sa.Column("applied_by", sa.Text, nullable=False, server_default=sa.text("current_user")),
    sa.Column("applied_at", _TIME, nullable=False, server_default=_NOW),
)

#: One row an effect that another store shall see, written in the transaction that made it so. Its id is its position.
#: `next_attempt_at` is null until an attempt has failed; `last_error` is why the last one did.
outbox = sa.Table(
    "outbox",
    POSTGRES,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("effect", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("payload", JSONB, nullable=False),
    sa.Column("recorded_at", _TIME, nullable=False, server_default=sa.text("clock_timestamp()")),
    sa.Column("delivered_at", _TIME),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    sa.Column("next_attempt_at", _TIME),
)
# the head of each key, and the rows behind it in order
sa.Index("idx_outbox_undelivered", outbox.c.key, outbox.c.id, postgresql_where=outbox.c.delivered_at.is_(None))
sa.Index("idx_outbox_delivered", outbox.c.delivered_at, postgresql_where=outbox.c.delivered_at.is_not(None))

#: One row an act that must be answered for. Ids and digests, never what identifies a person. Time, actor, request and
#: role are the server's (a trigger sets them); rows are appended, never changed.
audit_log = sa.Table(
    "audit_log",
    POSTGRES,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", _TIME, nullable=False, server_default=sa.text("clock_timestamp()")),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),  # a table, a job, the key ring
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("actor", sa.Text),  # app.current_user_id
    sa.Column("request_id", sa.Text),  # app.request_id
    sa.Column("db_role", sa.Text, nullable=False, server_default=sa.text("current_user")),
    sa.Column("detail", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.CheckConstraint("action ~ '^[a-z][a-z_]{0,49}$'", name="check_action"),
    # whoever may append could otherwise write what the sealing job cannot read, and nothing would be sealed after it
    sa.CheckConstraint(
        "jsonb_typeof(detail) = 'object' AND octet_length(detail::text) <= 4096"
        """ AND NOT jsonb_path_exists(detail, '$.* ? (@.type() == "object" || @.type() == "array")')""",
        name="check_detail",
    ),
)
sa.Index("idx_audit_log_at", audit_log.c.at.desc())

#: One row a row of the log, in the order in which they were sealed: `hash` is over the hash before it and the row.
audit_chain = sa.Table(
    "audit_chain",
    POSTGRES,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("row_id", sa.BigInteger, nullable=False, unique=True),
    sa.Column("hash", sa.LargeBinary, nullable=False),  # sha256
    sa.Column("sealed_at", _TIME, nullable=False),
    sa.CheckConstraint("position > 0", name="check_position"),
    sa.CheckConstraint("octet_length(hash) = 32", name="check_hash"),
)

#: The rows of the log that are not in the chain yet; a trigger notes them, in the transaction that appends them.
audit_pending = sa.Table(
    "audit_pending",
    POSTGRES,
    sa.Column("row_id", sa.BigInteger, primary_key=True, autoincrement=False),
)


def _ingested(name: str, metadata: sa.MetaData) -> sa.Table:
    """One row a file whose rows were taken, committed with them.

    `digest` is of the unpacked content, `packed_digest` of the file as it lay (null where it came through a pipe):
    sha256, hexadecimal.
    """
    table = sa.Table(
        name,
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("digest", sa.CHAR(64), nullable=False),
        sa.Column("packed_digest", sa.CHAR(64)),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("rejected", sa.BigInteger, nullable=False),
        sa.Column("ingested_at", _TIME, nullable=False, server_default=_NOW),
    )
    sa.Index(f"idx_{name}_digest", table.c.dataset, table.c.digest)
    sa.Index(f"idx_{name}_packed_digest", table.c.dataset, table.c.packed_digest)
    return table


#: Of relational tables and of collections; of hypertables.
ingested_files = _ingested("ingested_files", POSTGRES)
ingested_series_files = _ingested("ingested_series_files", TIMESCALE)

#: One row a dataset. Below `dropped_before` its rows are gone (null: it never dropped any); later ones that are older
#: are refused, or kept outside the rollups. `rolled_up`: a rollup is made of it, so its changes are noted.
watermarks = sa.Table(
    "watermarks",
    TIMESCALE,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("dropped_before", _TIME),
    sa.Column("late_rows", sa.Text, nullable=False, server_default="refuse"),
    sa.Column("rolled_up", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("chunk", sa.Text),  # how long a chunk is, as an interval; what a service asks for must be one
    sa.CheckConstraint("late_rows IN ('refuse', 'keep')", name="check_late_rows"),
)

#: One row a dataset that was ever archived: the cold tier holds every row that was dropped from `complete_from` on
#: (null: all of them).
archives = sa.Table(
    "archives",
    TIMESCALE,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("complete_from", _TIME),
    sa.Column("began_at", _TIME, nullable=False, server_default=_NOW),
)

#: One row a chunk that was archived, or is being ('writing': its files do not count, and go when they are found).
#: `dropped_at` is set by the transaction that drops the chunk, `content` is what the server says of its rows.
archived_parts = sa.Table(
    "archived_parts",
    TIMESCALE,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("chunk", sa.Text, nullable=False),
    sa.Column("lower", _TIME, nullable=False),
    sa.Column("upper", _TIME, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="writing"),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("bytes", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("content", sa.Text),
    sa.Column("manifest", sa.CHAR(64)),  # sha256, hexadecimal
    sa.Column("began_at", _TIME, nullable=False, server_default=sa.text("clock_timestamp()")),
    sa.Column("archived_at", _TIME),
    sa.Column("dropped_at", _TIME),
    sa.CheckConstraint("state IN ('writing', 'kept', 'replaced')", name="check_state"),
    sa.CheckConstraint("(state = 'writing') = (archived_at IS NULL)", name="check_archived"),
)
sa.Index("idx_archived_parts_dataset_lower", archived_parts.c.dataset, archived_parts.c.lower)
# of a chunk that is there, one set of files counts
sa.Index(
    "idx_archived_parts_chunk",
    archived_parts.c.dataset,
    archived_parts.c.chunk,
    unique=True,
    postgresql_where=sa.text("state = 'kept' AND dropped_at IS NULL"),
)

#: The files of a part. `path` is below the archive's place; `earliest` and `latest` are times of rows.
archived_files = sa.Table(
    "archived_files",
    TIMESCALE,
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("part", sa.Text, sa.ForeignKey(archived_parts.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.CHAR(64), nullable=False),
    sa.Column("earliest", _TIME, nullable=False),
    sa.Column("latest", _TIME, nullable=False),
)
sa.Index("idx_archived_files_part", archived_files.c.part)

#: One row a back-fill of a revision. `at` is the primary key of the last row that it has dealt with, as text (null:
#: none yet); `rows_seen` and `rows_changed` go up to there, `rows_about` is the server's estimate at the start.
backfills = sa.Table(
    "backfills",
    POSTGRES,
    sa.Column("revision", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("table_name", sa.Text, nullable=False),
    sa.Column("statement", sa.Text, nullable=False),
    sa.Column("at", sa.ARRAY(sa.Text)),
    sa.Column("rows_about", sa.BigInteger, nullable=False),
    sa.Column("rows_seen", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("rows_changed", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("began_at", _TIME, nullable=False, server_default=_NOW),
    sa.Column("changed_at", _TIME, nullable=False, server_default=_NOW),
    sa.Column("finished_at", _TIME),
)

#: Ranges [lower, upper) of a dataset whose rows changed since its rollups were made.
invalidations = sa.Table(
    "invalidations",
    TIMESCALE,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("lower", _TIME, nullable=False),
    sa.Column("upper", _TIME, nullable=False),
    sa.Column("noted_at", _TIME, nullable=False, server_default=sa.text("clock_timestamp()")),
)
sa.Index("idx_invalidations_dataset_lower", invalidations.c.dataset, invalidations.c.lower)

#: The time-series engine of this store, chosen at the first migration: one row at most.
engines = sa.Table(
    "engines",
    TIMESCALE,
    sa.Column("only_one", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("engine", sa.Text, nullable=False),
    sa.Column("server_version", sa.Text, nullable=False),
    sa.Column("chosen_at", _TIME, nullable=False, server_default=_NOW),
    sa.CheckConstraint("only_one", name="check_only_one"),
    sa.CheckConstraint("engine IN ('partitions', 'hypertables')", name="check_engine"),
)
