"""The manifest: its text says everything, and whether somebody changed it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest

from backup_samples import MANIFEST, MOMENT
from storekeeper.backups.manifest import StoredFile, from_json, is_label, label_of, to_json
from storekeeper.errors import BackupError, CorruptBackupError, NaiveTimeError


def test_the_text_says_everything() -> None:
    read = from_json(to_json(MANIFEST), target="postgres/x")
    assert read == MANIFEST
    assert read.as_of.tzinfo is UTC


def test_the_text_leaves_room_for_what_comes_later() -> None:
    plain = json.loads(to_json(MANIFEST))
    assert plain["format"] == 1
    assert plain["parent"] is None
    assert plain["encryption"] is None
    assert plain["state"] == "checksummed"


@pytest.mark.parametrize("key", [key for key in json.loads(to_json(MANIFEST)) if key != "format"])
def test_a_change_of_any_part_is_seen(key: str) -> None:
    plain = json.loads(to_json(MANIFEST))
    plain[key] = "something else"
    with pytest.raises(CorruptBackupError, match="differs from what was written"):
        from_json(json.dumps(plain), target="postgres/x")


def test_a_change_of_the_format_alone_is_seen() -> None:
    plain = json.loads(to_json(MANIFEST))
    plain["format"] = 2
    with pytest.raises(CorruptBackupError):
        from_json(json.dumps(plain), target="postgres/x")


def test_a_manifest_of_a_newer_format_is_not_guessed_at() -> None:
    with pytest.raises(BackupError, match="has format 2") as caught:
        from_json(to_json(replace(MANIFEST, format=2)), target="postgres/x")
    assert not isinstance(caught.value, CorruptBackupError)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', "null"])
def test_what_is_no_manifest_is_corrupt(text: str) -> None:
    with pytest.raises(CorruptBackupError):
        from_json(text, target="postgres/x")


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "data/../../x", ""])
def test_no_path_leads_out_of_the_backup(path: str) -> None:
    text = to_json(replace(MANIFEST, files=(StoredFile(path, 1, "00"),)))
    with pytest.raises(CorruptBackupError, match="names"):
        from_json(text, target="postgres/x")


def test_labels_are_utc_and_sort_by_time() -> None:
    assert label_of(MOMENT, "full") == "20140608T020000Z-full"
    assert label_of(MOMENT.astimezone(timezone(timedelta(hours=5))), "dump") == "20140608T020000Z-dump"
    assert is_label("20140608T020000Z-full")
    assert not is_label("20140608T020000Z-full.partial")
    with pytest.raises(NaiveTimeError):
        label_of(MOMENT.replace(tzinfo=None), "full")
