"""Lints the SQL of every revision with squawk: what would stop writers of a table that is there is a failure.

Each revision is a file of SQL of its own. What belongs to tables that the same revision makes stops nobody, and squawk
knows that; a revision that says `online = True` is looked at as what it is, statements outside of a transaction.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.script import Script

from storekeeper.catalog import Catalog, load_catalog
from storekeeper.errors import StorekeeperError
from storekeeper.migrations.applying import SQL_STORES
from storekeeper.migrations.environment import is_online
from storekeeper.migrations.history import History
from storekeeper.migrations.rendering import upgrade_sql

#: The oldest server that is supported.
SERVER = "15.0"
#: Rules of squawk that are none here, and why.
EXCLUDED = {
    "prefer-bigint-over-int": "the types of columns are the data contract's",
    "prefer-bigint-over-smallint": "likewise",
    "prefer-identity": "likewise",
    "prefer-text-field": "likewise",
    "prefer-timestamptz": "likewise",
    "ban-char-field": "likewise",
    "ban-drop-constraint": "fewer rules stop no writer",
    "require-timeout-settings": "every connection that migrates sets them, see migrations/connection.py",
}
#: Statements that may be run twice although they do not say IF NOT EXISTS; the operations look before they add.
_ROBUST = re.compile(r"^ALTER TABLE .*( NOT VALID| VALIDATE CONSTRAINT \S+| (SET|DROP) NOT NULL);$")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that squawk says of a revision."""

    revision: str
    rule: str
    line: int
    message: str
    statement: str

    def __str__(self) -> str:
        return f"{self.revision}: {self.rule}: {self.message}\n    {self.statement}"


def findings(catalog: Catalog) -> tuple[Finding, ...]:
    """What squawk says of all revisions of a catalogue, and of the platform's own."""
    return tuple(
        finding
        for store in SQL_STORES
        for history in [History(store, catalog)]
        for scripts in history.branches.values()
        for script in scripts
        for finding in of_revision(history, script)
    )


def of_revision(history: History, script: Script) -> Iterator[Finding]:
    """What it says of one revision."""
    name = f"{history.store}:{script.revision}"
    statements = upgrade_sql(history, script)
    yield from linted(name, statements, in_transaction=not is_online(script))


def linted(name: str, statements: Iterable[str], *, in_transaction: bool) -> Iterator[Finding]:
    """What it says of these statements. Raises RuntimeError where squawk does not run."""
    text = "".join(f"{statement};\n\n" for statement in statements)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "revision.sql"
        file.write_text(text)
        command = [_squawk(), "--reporter", "json", "--pg-version", SERVER, "--exclude", ",".join(EXCLUDED)]
        command += ["--assume-in-transaction"] if in_transaction else []
        done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout or "")
    except ValueError as error:
        raise RuntimeError(f"squawk did not lint {name} (exit code {done.returncode}): {done.stderr}") from error
    lines = text.splitlines()
    made = set(re.findall(r"CREATE MATERIALIZED VIEW (?:IF NOT EXISTS )?([\w.\"]+)", text))
    for one in found:
        statement = " ".join(lines[one["line"]].split())
        indexed = re.search(r" ON (?:ONLY )?([\w.\"]+)", statement)
        # squawk knows of tables that the file makes, and not of views
        if one["rule_name"] == "require-concurrent-index-creation" and indexed and indexed[1] in made:
            continue
        if one["rule_name"] == "prefer-robust-stmts" and _ROBUST.match(statement):
            continue
        yield Finding(name, one["rule_name"], one["line"], one["message"], statement)


def _squawk() -> str:
    beside = Path(sys.executable).parent / "squawk"
    found = str(beside) if beside.exists() else shutil.which("squawk")
    if found is None:
        raise RuntimeError("squawk is not installed: pip install -c constraints.txt -e '.[lint]'")
    return found


def main() -> int:
    try:
        found = findings(load_catalog("storekeeper.domains:CATALOG"))
    except (StorekeeperError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    for finding in found:
        print(finding)
    print(f"revisions: {len(found)} findings" if found else "revisions: nothing that stops a writer")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
