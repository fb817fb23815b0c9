"""Every failure that storekeeper raises, as one tree.

StorekeeperError
├── SettingsError                   settings are missing, unreadable or contradict each other
├── DeclarationError                a dataset, domain or catalogue is declared wrongly
├── InputError                      what the caller handed in cannot be taken
│   ├── InputFileError              a file that cannot be read, or is not what it should be
│   ├── ColumnError                 a column is missing, unknown, or named twice
│   ├── ValueFitError               a value does not fit its column (row, column)
│   ├── AlreadyIngestedError        a file whose content was ingested before
│   ├── RefusedRowsError            buffered rows that the store refused; the others are in
│   └── NaiveTimeError              a time without a zone
├── StoreError                      a store refused or failed
│   ├── UnavailableError       (r)  not reachable, going down, or the connection was lost
│   ├── AuthenticationError         wrong user or password
│   ├── WrongServerError            another kind of server, or too old a version
│   ├── DatabaseMissingError        the database does not exist
│   ├── NotMigratedError            a table or column that migrations would have made is missing
│   ├── PoolTimeoutError       (r)  no connection became free in time
│   ├── StatementTimeoutError       cut off by a time-out
│   ├── ConflictError          (r)  deadlock, serialization failure, lock not available
│   ├── ConstraintError             a rule of the schema is broken (constraint, table, column)
│   │   ├── UniqueError
│   │   ├── ForeignKeyError
│   │   ├── CheckError
│   │   └── NotNullError
│   ├── PermissionDeniedError       the role may not do that
│   ├── DiskFullError               the server has no room left
│   ├── UnwrittenRowsError     (r)  buffered rows that could not be written before the end
│   └── ForkedError                 a platform used in another process than the one that opened it
├── LifecycleError                  the life of a dataset would be broken
│   ├── NotSupportedError           this engine or server cannot do that
│   ├── BelowWatermarkError         rows older than what retention has dropped
│   ├── NotVerifiedError            a rollup does not hold what is about to be dropped
│   ├── KeptRowsError               rows that must be kept longer were to be deleted
│   └── AheadOfClockError           a destructive run as of a moment that has not come
├── OperationError                  an operation of a domain
│   ├── NotFoundError               what it is about does not exist, or is not the caller's
│   └── RefusedError                the rules of the domain forbid it
├── SealingError                    a value cannot be sealed or opened
│   ├── KeyMissingError             its key was destroyed, or lies in another key ring
│   ├── MasterKeyError              the key ring is wrapped by a master key that is not given
│   ├── SealedValueError            what is stored was changed or moved, or is no sealed value
│   └── KeyRingError           (r)  the key ring cannot be reached
├── AuditError                      the audit log is not what was sealed
├── MigrationError                  a migration cannot be planned or applied
│   └── DriftError                  the store is not what was recorded (engine, catalogue)
├── JobError                        a job cannot run
│   ├── JobFailedError              the job ran and failed; the run ledger holds the reason
│   └── AlreadyRunningError    (r)  another scheduler or run holds the lock
├── ArchiveError                    the cold tier cannot be written or read
│   ├── DamagedArchiveError         a file is missing, or is not what was written
│   └── ArchiveFullError            the archive has no room left
├── BackupError                     a backup cannot be made or read
│   ├── CorruptBackupError          a file is missing, or its checksum differs
│   └── RepositoryFullError         the repository has no room left
└── ServerError                     an embedded server
    ├── ServerStartError            did not become ready; the tail of its log is in the message
    ├── AlreadyUpError              a stack runs on this directory
    ├── NotUpError                  no stack runs on this directory
    ├── DataVersionError            the data directory belongs to another major version
    └── MissingBinaryError          the server's program is not installed

(r): a later attempt of the same call may succeed (`.retryable`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class StorekeeperError(Exception):
    """storekeeper failed.

    `operation` and `target` say what was being done to what, `cause` why it failed, `hint` what to do about it.
    The text of the error is built from all four; the docstring of the class stands in for a missing cause.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, cause: str = "", *, operation: str = "", target: str = "", hint: str = "") -> None:
        super().__init__(cause, operation, target, hint)
        self.cause = cause or (type(self).__doc__ or "").strip().splitlines()[0].rstrip(".")
        self.operation = operation
        self.target = target
        self.hint = hint

    def __str__(self) -> str:
        subject = " ".join(part for part in (self.operation, self.target) if part)
        text = f"{subject}: {self.cause}" if subject else self.cause
        return f"{text}\nHINT: {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__))


def _rebuild(kind: type[StorekeeperError], state: dict[str, object]) -> StorekeeperError:
    """Carries an error, with all that it says, across a process boundary."""
    error = kind.__new__(kind)
    Exception.__init__(error, state.get("cause"))
    error.__dict__.update(state)
    return error


class SettingsError(StorekeeperError):
    """Settings are missing, unreadable or contradict each other."""


class DeclarationError(StorekeeperError):
    """A dataset, domain or catalogue is declared wrongly."""


class InputError(StorekeeperError):
    """What was handed in cannot be taken."""


class InputFileError(InputError):
    """The file cannot be read, or is not what it should be."""


class ColumnError(InputError):
    """A column is missing, unknown, or named twice."""


class ValueFitError(InputError):
    """A value does not fit its column.

    `row` counts from 0 within the rows handed in; `column` is the name of the column of the dataset.
    """

    def __init__(
        self,
        cause: str = "",
        *,
        operation: str = "",
        target: str = "",
        hint: str = "",
        row: int | None = None,
        column: str = "",
    ) -> None:
        super().__init__(cause, operation=operation, target=target, hint=hint)
        self.row = row
        self.column = column


class AlreadyIngestedError(InputError):
    """A file whose content was ingested before."""


class RefusedRowsError(InputError):
    """Buffered rows were refused by the store; the others are in.

    `refused` holds each of them with its reason.
    """

    def __init__(
        self,
        cause: str = "",
        *,
        operation: str = "",
        target: str = "",
        hint: str = "",
        refused: Sequence[tuple[Mapping[str, object], StorekeeperError]] = (),
    ) -> None:
        super().__init__(cause, operation=operation, target=target, hint=hint)
        self.refused = tuple(refused)


class NaiveTimeError(InputError):
    """A time without a zone."""


class StoreError(StorekeeperError):
    """A store refused or failed."""


class UnavailableError(StoreError):
    """The server is not reachable, is going down, or the connection was lost."""

    retryable = True


class AuthenticationError(StoreError):
    """The server refused the user or the password."""


class WrongServerError(StoreError):
    """Another kind of server, or too old a version."""


class DatabaseMissingError(StoreError):
    """The database does not exist."""


class NotMigratedError(StoreError):
    """A table or column that migrations would have made is missing."""


class PoolTimeoutError(StoreError):
    """No connection became free in time."""

    retryable = True


class StatementTimeoutError(StoreError):
    """The statement was cut off by a time-out."""


class ConflictError(StoreError):
    """A deadlock, a serialization failure, or a lock that was not to be had."""

    retryable = True


class ConstraintError(StoreError):
    """A rule of the schema is broken.

    `constraint` is the rule's name on the server. Where the catalogue declares the table, `entity` is its name with its
    schema, `fields` are the columns that the rule is about, and `rule` says what it demands of them. Of a batch whose
    good rows were written, `rows` holds the refused ones: index among the rows handed in → reason.
    """

    def __init__(
        self,
        cause: str = "",
        *,
        operation: str = "",
        target: str = "",
        hint: str = "",
        constraint: str = "",
        column: str = "",
        rows: Mapping[int, str] | None = None,
        entity: str = "",
        fields: Sequence[str] = (),
        rule: str = "",
    ) -> None:
        super().__init__(cause, operation=operation, target=target, hint=hint)
        self.constraint = constraint
        self.entity = entity
        self.fields = tuple(fields)
        self.rule = rule
        self.column = column
        self.rows = dict(rows or {})


class UniqueError(ConstraintError):
    """A row with this key exists already."""


class ForeignKeyError(ConstraintError):
    """A row that is referred to does not exist, or is still referred to."""


class CheckError(ConstraintError):
    """A value breaks a check of its table."""


class NotNullError(ConstraintError):
    """A value that must be there is missing."""


class PermissionDeniedError(StoreError):
    """The role may not do that."""


class DiskFullError(StoreError):
    """The server has no room left."""


class UnwrittenRowsError(StoreError):
    """Buffered rows could not be written before the end; `rows` holds them."""

    retryable = True

    def __init__(
        self,
        cause: str = "",
        *,
        operation: str = "",
        target: str = "",
        hint: str = "",
        rows: Sequence[Mapping[str, object]] = (),
    ) -> None:
        super().__init__(cause, operation=operation, target=target, hint=hint)
        self.rows = tuple(rows)


class ForkedError(StoreError):
    """A platform is bound to the process that opened it."""


class LifecycleError(StorekeeperError):
    """The life of a dataset would be broken."""


class NotSupportedError(LifecycleError):
    """This engine or server cannot do that."""


class BelowWatermarkError(LifecycleError):
    """The rows are older than what retention has dropped."""


class NotVerifiedError(LifecycleError):
    """A rollup does not hold what is about to be dropped."""


class KeptRowsError(LifecycleError):
    """The rows must be kept longer than that."""


class AheadOfClockError(LifecycleError):
    """A destructive run as of a moment that has not come."""


class OperationError(StorekeeperError):
    """An operation of a domain cannot be done."""


class NotFoundError(OperationError):
    """What it is about does not exist, or is not the caller's."""


class RefusedError(OperationError):
    """The rules of the domain forbid it."""


class SealingError(StorekeeperError):
    """A value cannot be sealed or opened."""


class KeyMissingError(SealingError):
    """The key of the value was destroyed, or lies in another key ring."""


class MasterKeyError(SealingError):
    """The key ring is wrapped by a master key that is not given."""


class SealedValueError(SealingError):
    """The value was changed or moved, or is no sealed one."""


class KeyRingError(SealingError):
    """The key ring cannot be reached."""

    retryable = True


class AuditError(StorekeeperError):
    """The audit log is not what was sealed."""


class MigrationError(StorekeeperError):
    """A migration cannot be planned or applied."""


class DriftError(MigrationError):
    """The store is not what was recorded of it."""


class JobError(StorekeeperError):
    """A job cannot run."""


class JobFailedError(JobError):
    """The job ran and failed."""


class AlreadyRunningError(JobError):
    """Another scheduler or run holds the lock."""

    retryable = True


class ArchiveError(StorekeeperError):
    """The archive cannot be written or read."""


class DamagedArchiveError(ArchiveError):
    """A file of the archive is missing, or is not what was written."""


class ArchiveFullError(ArchiveError):
    """The archive has no room left."""


class BackupError(StorekeeperError):
    """A backup cannot be made or read."""


class CorruptBackupError(BackupError):
    """A file of the backup is missing, or its checksum differs."""


class RepositoryFullError(BackupError):
    """The repository has no room left."""


class ServerError(StorekeeperError):
    """An embedded server failed."""


class ServerStartError(ServerError):
    """The server did not become ready."""


class AlreadyUpError(ServerError):
    """A stack runs on this directory already."""


class NotUpError(ServerError):
    """No stack runs on this directory."""


class DataVersionError(ServerError):
    """The data directory belongs to another major version of the server."""


class MissingBinaryError(ServerError):
    """The program of the server is not installed."""
