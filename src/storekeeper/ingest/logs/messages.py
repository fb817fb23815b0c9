"""Lines joined into messages, and messages as documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from storekeeper.ingest.logs.calendar import Calendar
from storekeeper.ingest.logs.levels import kept_level
from storekeeper.ingest.logs.line import Beginning, Format, Line, LineError

#: Characters of a message, at most: no document of MongoDB holds more than 16 MB.
LONGEST_MESSAGE = 16 * 1024 * 1024
#: Characters that are kept of one that is longer, to tell which it was.
_TOLD = 1_000


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a document: timestamp (UTC), level, message, metadata, and where the line says them service, userId,
    requestId, stackTrace. `place` is its first line, `mark` that of its last; `text` is as the file has it."""

    place: int
    mark: bytes
    text: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """Lines that are no document, and why."""

    place: int
    text: str
    fault: LineError


@dataclass(slots=True)
class _Open:
    """A message whose end has not come."""

    first: Line
    begun: Beginning | LineError
    mark: bytes
    texts: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, line: Line) -> None:
        self.size += len(line.text) + 1
        self.mark = line.mark
        if self.size <= LONGEST_MESSAGE:
            self.texts.append(line.text)


def read_log(blocks: Iterable[Sequence[Line]], form: Format, calendar: Calendar) -> Iterator[Message | Refused]:
    """The messages of a file, in its order; every line is in one, or is refused, or is blank.

    A line that begins nothing continues the message above it, where the format has such lines; what continues a refused
    message is refused with it. Memory holds one message and one block of lines.
    """
    above: _Open | None = None
    for block in blocks:
        for line, begun in zip(block, form.read([_readable(line) for line in block]), strict=True):
            if begun is not None:
                if above is not None:
                    yield _closed(above, form, calendar)
                begun = LineError(line.fault) if line.fault else begun
                above = _Open(line, begun, line.mark, [line.text], len(line.text))
                if not form.multiline:
                    yield _closed(above, form, calendar)
                    above = None
            elif line.fault:
                yield Refused(line.place, line.text, LineError(line.fault))
            elif above is not None and (not line.text.strip() or not form.ignored(line.text)):
                above.add(line)
            elif not form.ignored(line.text):
                yield Refused(line.place, line.text, LineError(_begins_nothing(form)))
    if above is not None:
        yield _closed(above, form, calendar)


def _readable(line: Line) -> str:
    """Whether a line begins a message is asked of those too that cannot be taken."""
    return line.text if line.fault is None else line.text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _closed(message: _Open, form: Format, calendar: Calendar) -> Message | Refused:
    text = "\n".join(message.texts)
    try:
        if isinstance(message.begun, LineError):
            raise message.begun
        if message.size > LONGEST_MESSAGE:
            raise LineError("is longer than the 16 MB that a document holds")
        return Message(message.first.place, message.mark, text, _document(message.begun, message.texts, form, calendar))
    except LineError as fault:
        told = text if message.size <= LONGEST_MESSAGE else f"{text[:_TOLD]}…"
        return Refused(message.first.place, told, fault)


def _document(begun: Beginning, lines: list[str], form: Format, calendar: Calendar) -> dict[str, Any]:
    instant = calendar.instant(begun.stamp)
    level, original = kept_level(begun.level)
    body = form.body([begun.message, *lines[1:]])
    metadata = {**begun.metadata, **body.metadata}
    if original is not None:
        metadata = {"level": original, **metadata}
    document: dict[str, Any] = {
        "timestamp": instant,
        "level": level,
        **begun.fields,
        "message": body.text,
        "metadata": metadata,
    }
    if body.trace:
        document["stackTrace"] = body.trace
    return document


def _begins_nothing(form: Format) -> str:
    return f"begins no message as {form.name} writes it" if form.multiline else f"is no line of {form.name}"
