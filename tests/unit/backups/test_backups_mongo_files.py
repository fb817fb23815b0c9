"""The names of mongodump's files, and the documents in a batch."""

from __future__ import annotations

from pathlib import Path

import bson
import pytest

from storekeeper.backups.mongo_files import bson_path, document_count, metadata_path
from storekeeper.errors import BackupError


@pytest.mark.parametrize(
    ("collection", "file"),
    [
        ("logs", "logs"),
        ("ml_results-1.x~", "ml_results-1.x~"),
        ("a b/c%", "a+b%2Fc%25"),
        ("é", "%C3%A9"),
        # as mongodump names it: 208 characters of the name, %24, and the SHA-1 of the whole
        ("x" * 238, "x" * 238),
        ("x" * 239, "x" * 208 + "%24" + "Nq75d-cu3iRxNs-ce3Tvf9gagoU"),
    ],
)
def test_files_are_named_as_mongorestore_expects(collection: str, file: str) -> None:
    assert bson_path(Path("d"), collection) == Path("d") / f"{file}.bson"
    assert metadata_path(Path("d"), collection) == Path("d") / f"{file}.metadata.json"
    assert len(metadata_path(Path("d"), collection).name) <= 255


def test_names_that_differ_at_the_end_only_have_different_files() -> None:
    assert bson_path(Path("d"), "x" * 240 + "a") != bson_path(Path("d"), "x" * 240 + "b")


def test_documents_are_counted_and_cut_ones_refused() -> None:
    one, other = bson.encode({"a": 1}), bson.encode({"b": "x" * 300})
    assert document_count(b"") == 0
    assert document_count(one + other + one) == 3
    for broken in (one[:-1], one + b"\x00", one + other[:10], b"\x04\x00\x00\x00"):
        with pytest.raises(BackupError, match="cut off"):
            document_count(broken)
