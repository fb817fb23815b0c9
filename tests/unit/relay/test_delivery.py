"""What the relay decides by itself: how long a failed effect waits, what is kept of a failure, where functions are."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from outbox_lab import NOTED, Note, applies
from storekeeper.errors import DeclarationError, UnavailableError, ValueFitError
from storekeeper.relay.delivery import function_of, payload_of, reason_of, wait_after


def test_waits_double_from_five_seconds_to_ten_minutes() -> None:
    waits = [wait_after(failures) for failures in range(1, 9)]
    assert [wait.total_seconds() for wait in waits] == [5, 10, 20, 40, 80, 160, 320, 600]


@given(st.integers(1, 10**9))
def test_a_wait_never_ends_the_attempts(failures: int) -> None:
    assert timedelta(seconds=5) <= wait_after(failures) <= timedelta(minutes=10)
    assert all(earlier <= later for earlier, later in pairwise((wait_after(failures), wait_after(failures + 1))))


def test_the_reason_holds_no_text_of_errors_that_are_not_ours() -> None:
    ours = UnavailableError("it is away", operation="set", target="redis", hint="start it")
    assert reason_of(ours) == "UnavailableError: set redis: it is away\nHINT: start it"
    assert reason_of(ValueError("ada@example.org")) == "ValueError"
    with pytest.raises(ValueError, match="ada") as caught:
        int("ada@example.org")
    assert reason_of(caught.value) == f"ValueError at {__name__}:{caught.tb.tb_lineno}"


def test_a_function_is_found_by_its_name() -> None:
    assert function_of("outbox_lab:applies") is applies
    for path in ("outbox_lab:nothing", "outbox_nowhere:applies"):
        with pytest.raises(DeclarationError, match=path):
            function_of(path)


def test_a_payload_comes_back_as_its_model() -> None:
    assert payload_of(NOTED, {"text": "one", "count": 2}) == Note(text="one", count=2)
    with pytest.raises(ValueFitError, match=r"read lab\.noted: count: ") as caught:
        payload_of(NOTED, {"text": "one", "count": "many"})
    assert "many" not in str(caught.value)
