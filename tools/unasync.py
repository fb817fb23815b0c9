"""Writes the sync twin of every NAME_async.py under src/ and tests/ as NAME.py; `--check` only says what is stale.

Async is the source, sync is generated: tokens are replaced by the table below, nothing else changes. A file that needs
more than the table takes a line of its own in it, not an `if`. `make generate` runs it, `make check` with --check.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Generated from {source} by tools/unasync.py. Change that file, then run `make generate`.\n"

#: Whole names. `Async` at the head of any other name goes by itself (AsyncPostgres → Postgres), and so does `_async` at
#: the end of a module's name (postgres_async → postgres).
NAMES = {
    "AbstractAsyncContextManager": "AbstractContextManager",
    "AsyncExitStack": "ExitStack",
    "AsyncGenerator": "Generator",
    "AsyncIterable": "Iterable",
    "AsyncIterator": "Iterator",
    "AsyncMongoClient": "MongoClient",
    "AsyncCollection": "Collection",
    "AsyncCursor": "Cursor",
    "AsyncDatabase": "Database",
    "AsyncAdaptedQueuePool": "QueuePool",
    "StopAsyncIteration": "StopIteration",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
    "aclosing": "closing",
    "anext": "next",
    "aiter": "iter",
    "async_sessionmaker": "sessionmaker",
    "asynccontextmanager": "contextmanager",
    "create_async_engine": "create_engine",
    "connect_async": "connect",
    "enter_async_context": "enter_context",
    "push_async_callback": "callback",
}
#: Phrases, replaced before the names: (async, sync).
PHRASES = (
    ("asyncio.sleep", "time.sleep"),
    ("import asyncio\n", "import time\n"),
    # what would hold up the loop goes to a thread; without a loop it is just called
    ("from asyncio import to_thread\n", "from operator import call as to_thread\n"),
    (
        "from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession\n",
        "from sqlalchemy import Connection\nfrom sqlalchemy.orm import Session\n",
    ),
    ("from sqlalchemy.ext.asyncio import AsyncSession\n", "from sqlalchemy.orm import Session\n"),
    ("sqlalchemy.ext.asyncio", "sqlalchemy"),
    # an AsyncEngine wraps the engine that takes events; a Connection has its raw one as an attribute
    (".sync_engine", ""),
    (".sync_session", ""),
    (".get_raw_connection()", ".connection"),
    ("redis.asyncio", "redis"),
    ("pymongo.asynchronous", "pymongo.synchronous"),
    ("Awaitable[", "_Plain["),
    ("@pytest.mark.asyncio\n", ""),
)


def to_sync(text: str) -> str:
    """The sync twin of an async source text."""
    for old, new in PHRASES:
        text = text.replace(old, new)
    # `Callable[…, Awaitable[T]]` is `Callable[…, T]`: one pair of brackets goes with the name
    while (start := text.find("_Plain[")) >= 0:
        depth, end = 1, start + len("_Plain[")
        while depth:
            depth += {"[": 1, "]": -1}.get(text[end], 0)
            end += 1
        text = text[:start] + text[start + len("_Plain[") : end - 1] + text[end:]
    lines = text.splitlines(keepends=True)
    edits: list[tuple[int, int, int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        row, column = token.start
        if token.type == tokenize.NAME and token.string in ("async", "await"):
            blanks = len(re.match(r"\s*", lines[row - 1][token.end[1] :])[0])  # type: ignore[index]  # \s* always matches
            edits.append((row, column, token.end[1] + blanks, ""))
        elif token.type == tokenize.NAME:
            name = _sync_name(token.string)
            if name != token.string:
                edits.append((row, column, token.end[1], name))
    for row, begin, end, new in sorted(edits, reverse=True):
        line = lines[row - 1]
        lines[row - 1] = line[:begin] + new + line[end:]
    return "".join(lines)


def _sync_name(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    stripped = name.removesuffix("_async")
    return re.sub(r"^(_?)Async(?=[A-Z])", r"\1", stripped)


def generated(source: Path) -> str:
    """What the twin of this file must hold, formatted as the rest of the tree is."""
    text = HEADER.format(source=source.name) + to_sync(source.read_text())
    ruff = [str(Path(sys.executable).with_name("ruff"))]
    target = str(source.with_name(source.name.replace("_async.py", ".py")))
    # the names of imports changed, and with them their order
    for step in (["check", "--select", "I,F401", "--fix-only", "--quiet"], ["format", "--quiet"]):
        text = subprocess.run(
            [*ruff, *step, "--stdin-filename", target, "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            timeout=60,
        ).stdout
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a generated file is stale")
    options = parser.parse_args()
    stale = []
    for folder in ("src", "tests"):
        for source in sorted((ROOT / folder).rglob("*_async.py")):
            target = source.with_name(source.name.replace("_async.py", ".py"))
            text = generated(source)
            if target.exists() and target.read_text() == text:
                continue
            stale.append(target.relative_to(ROOT))
            if not options.check:
                target.write_text(text)
    for path in stale:
        print(f"{'stale' if options.check else 'written'}: {path}")
    if stale and options.check:
        print("run `make generate`")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
