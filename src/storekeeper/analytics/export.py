"""Writing an answer to a file: csv, parquet, or a picture, by the file's ending."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from storekeeper.errors import DiskFullError, InputError, InputFileError

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".csv", ".parquet", ".png")


def export(answer: pa.Table, path: Path, *, title: str) -> None:
    """Writes the answer whole, or nothing: under another name first, then renamed.

    A .png needs bars, and the `analytics` extra. Raises InputError for another ending, InputFileError where the file
    cannot be written.
    """
    if path.suffix not in ENDINGS:
        raise InputError(
            f"{path.suffix or 'a name without an ending'} is no known kind of file",
            operation="write",
            target=str(path),
            hint=f"let it end in {', '.join(ENDINGS)}",
        )
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        if path.suffix == ".csv":
            from pyarrow import csv

            csv.write_csv(answer, partial)
        elif path.suffix == ".parquet":
            from pyarrow import parquet

            parquet.write_table(answer, partial, compression="zstd")
        else:
            from storekeeper.analytics.plots import candlesticks

            candlesticks(answer, partial, title=title)
        partial.replace(path)
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise DiskFullError(operation="write", target=str(path)) from error
        # Arrow's text tells of a name that nobody gave
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputFileError(
            reason, operation="write", target=str(path), hint="name a file in a folder that is there, and writable"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
