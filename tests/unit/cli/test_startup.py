"""What the program imports before it knows what is wanted: a slow start is felt at every command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: Each takes a tenth of a second or more, or belongs to one command.
HEAVY = {
    "alembic", "apscheduler", "asyncio", "matplotlib", "numpy", "pandas", "psycopg", "pyarrow", "pydantic",
    "pydantic_settings", "pymongo", "redis", "rich", "sqlalchemy",
}  # fmt: skip
PROGRAM = """
import json, sys
{}
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""
CALL = """
sys.argv[1:] = {!r}
from storekeeper.cli import main
try:
    main()
except SystemExit as error:
    assert error.code in (0, None), error.code
"""


def imported(statements: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(statements)], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_imports_nothing() -> None:
    assert not imported("import storekeeper") & (HEAVY | {"typer"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ingest", "--help"], ["jobs", "run", "--help"]])
def test_help_imports_no_library_but_typer(arguments: list[str]) -> None:
    """And what typer itself may want to read the options of a command by."""
    found = imported(CALL.format(arguments))
    assert "typer" in found
    assert found & HEAVY <= ({"pydantic"} if len(arguments) > 1 else set())


def test_the_public_names_are_all_there_and_no_others() -> None:
    import storekeeper

    assert {name for name in storekeeper.__all__ if getattr(storekeeper, name) is None} == set()
    assert sorted(storekeeper.__all__) == dir(storekeeper)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = storekeeper.nonsense
