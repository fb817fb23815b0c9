"""The exception tree: drawn as it is, and every error says what it must."""

from __future__ import annotations

import pickle
import re

import pytest

from storekeeper import errors
from storekeeper.errors import StorekeeperError


def _tree() -> dict[str, type[StorekeeperError]]:
    found = {}
    waiting: list[type[StorekeeperError]] = [StorekeeperError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__ == errors.__name__:
            found[kind.__name__] = kind
        waiting.extend(kind.__subclasses__())
    return found


def test_the_drawing_shows_every_class_under_its_parent_and_marks_the_retryable() -> None:
    drawn: dict[str, tuple[str | None, bool]] = {}
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^([│├└─ ]*)(\w+Error)\b(.*)", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        del parents[depth:]
        drawn[match[2]] = (parents[-1] if parents else None, "(r)" in match[3])
        parents.append(match[2])
    actual = {
        name: (kind.__base__.__name__ if kind is not StorekeeperError and kind.__base__ else None, kind.retryable)
        for name, kind in _tree().items()
    }
    assert drawn == actual


@pytest.mark.parametrize("kind", _tree().values(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_default_message_and_survives_a_process_boundary(kind: type[StorekeeperError]) -> None:
    error = kind(operation="compress", target="invest.intraday_prices", hint="wait")
    assert error.cause
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), again.__dict__) == (str(error), error.__dict__)


def test_the_text_says_operation_object_cause_and_hint() -> None:
    error = StorekeeperError("locked", operation="compress", target="invest.intraday_prices", hint="wait")
    assert str(error) == "compress invest.intraday_prices: locked\nHINT: wait"
