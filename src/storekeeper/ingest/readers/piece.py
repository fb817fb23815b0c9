"""What a reader of files hands on: pieces of rows, and the rows that it could not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from storekeeper.stores.sql.arrow import RecordBatch

#: Rows of a piece, at most.
PIECE_ROWS = 131_072


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be taken: where it begins (a line of the file, or a row of a parquet file, from 1), why, and
    the row as the file has it. `column` is the dataset's or the file's, where one column is to blame."""

    place: int
    reason: str
    row: str
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a file, in its order.

    `batch` has the columns that were asked for; `places` says where each row begins, `text(row)` what it reads like in
    the file. `rejects` are rows among these that could not be read; they are not in the batch.
    """

    batch: RecordBatch
    places: npt.NDArray[np.int64]
    text: Callable[[int], str]
    rejects: tuple[Reject, ...] = ()


class Input(Protocol):
    """An open file of rows. Every failure to read it is an InputFileError."""

    @property
    def header(self) -> tuple[str, ...]:
        """The columns that it has, in its order; a name may stand twice."""

    @property
    def unit(self) -> Literal["line", "row"]:
        """What places count."""

    def has(self, name: str) -> bool:
        """Whether this name can be asked for: a column, or a dotted path to what lies in one: payload.action."""

    @property
    def position(self) -> int:
        """Bytes read so far, as the file lies on the disk."""

    @property
    def size(self) -> int | None:
        """Bytes of the file as it lies on the disk; None where nobody knows before its end."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the unpacked content; known when the last piece was taken."""

    def pieces(self, wanted: Sequence[str], *, matters: Callable[[str], bool] = ...) -> Iterator[Piece]:
        """The rows, these columns of them. `matters` is asked about fields that a row has and the header has not."""

    def close(self) -> None: ...
