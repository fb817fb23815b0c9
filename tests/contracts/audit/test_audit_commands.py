"""The audit log on the command line: what commands note there, and what a check says."""

from __future__ import annotations

from typing import Any

import psycopg

from command_line import CommandLine
from storekeeper.sealing import new_master_key


def test_what_was_confirmed_is_noted_sealed_and_verified(commands: CommandLine, migrated_url: str) -> None:
    old, new = new_master_key(), new_master_key()
    ring: dict[str, Any] = {"STOREKEEPER_KEYRING": "ring.sqlite"}
    assert commands("keys", "status", "--json", **ring).json["keys"] == 0
    commands("keys", "rotate", STOREKEEPER_MASTER_KEY=old, **ring)
    both: dict[str, Any] = {"STOREKEEPER_MASTER_KEY": new, "STOREKEEPER_PREVIOUS_MASTER_KEYS": old}
    rotated = commands("keys", "rotate", **both, **ring)
    assert new not in rotated.out
    assert old not in rotated.out
    commands("jobs", "run", "cleanup", "--as-of", "2014-05-07")
    commands("jobs", "run", "cleanup", "--dry-run")
    commands("jobs", "run", "rollups")

    noted = [(row["action"], row["subject"], row["subject_id"]) for row in commands("audit", "list", "--json").json]
    assert [row[:2] for row in noted] == [
        ("destructive_confirmed", "storekeeper.jobs"),
        ("key_rotated", "storekeeper.keyring"),
        ("key_rotated", "storekeeper.keyring"),
    ]
    assert noted[0][2] == "cleanup"
    assert "retention" not in commands("audit", "list", "--action", "key_rotated").out

    before = commands("audit", "verify", "--json").json
    assert (before["sealed"], before["pending"], before["findings"]) == (0, 3, 0)
    commands("jobs", "run", "audit")
    whole = commands("audit", "verify", "--json").json
    assert (whole["sealed"], whole["pending"], whole["findings"]) == (3, 0, 0)
    assert commands("audit", "verify", "--expect", whole["head"]).out.endswith(f"head {whole['head']}\n")

    with psycopg.connect(migrated_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE storekeeper.audit_log SET actor = 'nobody' WHERE action = 'key_rotated'")
    broken = commands("audit", "verify", code=9)
    assert "changed" in broken.out
    assert "2 findings" in broken.err
    assert commands("audit", "verify", "--json", code=9).error["error"] == "AuditError"
    assert commands("audit", "verify", "--expect", "gone", code=2).err


def test_a_rollback_is_noted_before_it_is_done(commands: CommandLine) -> None:
    commands("migrate", "rollback", "invest", "--yes")
    (row,) = commands("audit", "list", "--json").json
    assert (row["action"], row["subject"], row["subject_id"]) == (
        "destructive_confirmed",
        "storekeeper.migrate",
        "rollback",
    )
    assert row["detail"] == {"domain": "invest", "steps": 1}
