"""Steps taken by turns: many waits in one thread."""

from __future__ import annotations

import pytest

from storekeeper.servers.steps import Steps, by_turns


def test_works_take_turns_and_results_keep_their_order() -> None:
    seen: list[str] = []

    def work(name: str, turns: int) -> Steps[str]:
        for turn in range(turns):
            seen.append(f"{name}{turn}")
            yield
        return name

    assert by_turns([work("a", 3), work("b", 1), work("c", 0)]) == ["a", "b", "c"]
    assert seen == ["a0", "b0", "a1", "a2"]
    assert by_turns([]) == []


def test_the_first_error_closes_the_others() -> None:
    closed: list[str] = []

    def patient() -> Steps[None]:
        try:
            while True:
                yield
        finally:
            closed.append("patient")

    def failing() -> Steps[None]:
        yield
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        by_turns([patient(), failing()])
    assert closed == ["patient"]


def test_a_check_can_end_it_between_turns() -> None:
    def endless() -> Steps[None]:
        while True:
            yield

    checks = iter([None, None, KeyError("enough")])

    def check() -> None:
        if (error := next(checks)) is not None:
            raise error

    with pytest.raises(KeyError, match="enough"):
        by_turns([endless()], check=check)
