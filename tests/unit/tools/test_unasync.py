"""The generator of the sync twins."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parents[3] / "tools" / "unasync.py"


@pytest.fixture(scope="module")
def unasync() -> ModuleType:
    spec = importlib.util.spec_from_file_location("unasync", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("written", "generated"),
    [
        ("async def f():\n    return await g()\n", "def f():\n    return g()\n"),
        ("async with a as b:\n    async for c in b:\n        pass\n", "with a as b:\n    for c in b:\n        pass\n"),
        ("class AsyncPool:\n    pass\n", "class Pool:\n    pass\n"),
        ("from x.pool_async import AsyncPool\n", "from x.pool import Pool\n"),
        ("f: Callable[[int], Awaitable[dict[str, int]]]\n", "f: Callable[[int], dict[str, int]]\n"),
        ("x = await (await f()).g()\n", "x = (f()).g()\n"),
        ("text = 'async stays in strings'\n", "text = 'async stays in strings'\n"),
    ],
)
def test_tokens_are_replaced_by_the_table(unasync: ModuleType, written: str, generated: str) -> None:
    assert unasync.to_sync(written) == generated


def test_all_twins_are_current(unasync: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["unasync.py", "--check"])
    assert unasync.main() == 0
