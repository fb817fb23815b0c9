"""Which tests of the domains' operations run: all of them in the soak; else of most twins the async one alone.

Operations are written once, and their sync form is generated from the async one; what differs between the two, the
stores, is tested in both forms each time. So is what concerns money. A file that is named is always run.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: Tests whose sync twins run each time.
BOTH = {"test_tokens", "test_redeem", "test_trades"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    named = {Path(argument.partition("::")[0]).resolve() for argument in config.args}
    twin = collection_path.suffix == ".py" and collection_path.with_name(f"{collection_path.stem}_async.py").exists()
    if not twin or collection_path.stem in BOTH or collection_path in named:
        return None
    return None if os.environ.get("STOREKEEPER_TEST_PROFILE") == "soak" else True
