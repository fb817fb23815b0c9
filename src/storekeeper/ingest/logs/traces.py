"""Where the continuation lines of a message become a stack trace: of Java, Python, JavaScript, .NET or Go."""

from __future__ import annotations

import re

from storekeeper.ingest.logs.line import Body

_FRAME = re.compile(r"\s+at \S.*(?:\)|:\d+|line \d+)\s*")
_THROWN = re.compile(
    r"(?:Caused by: |Suppressed: )?(?:[\w$]+[.])+[\w$]*(?:Exception|Error|Throwable|Failure)(?::.*|\s*)"
)
_THROWN_PLAIN = re.compile(r"(?:Uncaught )?[\w$]*(?:Exception|Error)(?::.*|\s*)")
_BANNER = re.compile(r"\s*Traceback \(most recent call last\):\s*|goroutine \d+ \[[^\]]+\]:\s*|Exception in thread .*")


def trace_begins(lines: list[str]) -> int | None:
    """The index of the line with which a stack trace begins; it goes on to the last."""
    for index, line in enumerate(lines):
        if _FRAME.fullmatch(line) or _BANNER.fullmatch(line) or _THROWN.fullmatch(line):
            return index
        # a short name alone may be anything: below it must be where that was thrown
        if _THROWN_PLAIN.fullmatch(line) and index + 1 < len(lines) and _FRAME.fullmatch(lines[index + 1]):
            return index
    return None


def text_and_trace(lines: list[str]) -> Body:
    """The message that is the first line, what continues it, and the stack trace below. Blank lines at an end go."""
    begin = trace_begins(lines[1:])
    if begin is None:
        return Body(joined(lines))
    return Body(joined(lines[: begin + 1]), joined(lines[begin + 1 :]))


def joined(lines: list[str]) -> str:
    """The lines as one text, without blank lines at its end."""
    end = len(lines)
    while end > 1 and not lines[end - 1].strip():
        end -= 1
    return "\n".join(lines[:end])
