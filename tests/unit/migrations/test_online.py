"""Steps of online revisions, as far as no server is asked: pauses, names, and what people write for a revision."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from storekeeper.errors import ConflictError, DeclarationError, InputError, StatementTimeoutError, StorekeeperError
from storekeeper.migrations.drafting import bracketed
from storekeeper.migrations.online import retrying
from storekeeper.migrations.online.names import LONGEST, in_sql, joined, parted
from storekeeper.migrations.online.retrying import pauses, retried
from storekeeper.migrations.targets import parsed


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "PAUSE_SECONDS", 0.0)


def test_pauses_grow_and_are_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "PAUSE_SECONDS", 0.1)
    one, other = list(pauses()), list(pauses())
    assert one != other
    assert len(one) == retrying.ATTEMPTS - 1
    assert 0.05 <= one[0] <= 0.15
    assert all(retrying.LONGEST_PAUSE_SECONDS / 2 <= pause <= retrying.LONGEST_PAUSE_SECONDS * 1.5 for pause in one[8:])


def test_it_is_tried_until_it_comes_through_and_each_failure_is_told() -> None:
    outcomes = iter([ConflictError("a"), StatementTimeoutError("b"), None])
    told: list[tuple[int, str]] = []

    def attempt() -> str:
        failure = next(outcomes)
        if failure is not None:
            raise failure
        return "done"

    assert retried(attempt, lambda number, error: told.append((number, error.cause))) == "done"
    assert told == [(1, "a"), (2, "b")]


def test_the_last_failure_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "ATTEMPTS", 3)
    numbers = itertools.count(1)

    def attempt() -> None:
        raise ConflictError(str(next(numbers)))

    with pytest.raises(ConflictError, match="3"):
        retried(attempt, lambda number, error: None)


def test_what_is_no_matter_of_locks_is_not_tried_again() -> None:
    told: list[StorekeeperError] = []

    def attempt() -> None:
        raise StatementTimeoutError

    with pytest.raises(StatementTimeoutError):
        retried(attempt, lambda number, error: told.append(error), again=(ConflictError,))
    assert told == []


@given(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=80), st.sampled_from(["a", "b"]))
def test_joined_names_fit_and_differ(long: str, end: str) -> None:
    name = joined(long, end)
    assert len(name.encode()) <= LONGEST
    assert name != joined(long, f"{end}c")


def test_names_of_tables() -> None:
    assert parted("deals.users") == ("deals", "users")
    assert in_sql("deals.user") == 'deals."user"'
    for text in ("users", ".users", "deals.", "a.b.c"):
        with pytest.raises(DeclarationError, match="is no name of a table"):
            parted(text)


def test_names_of_revisions() -> None:
    assert parsed("deals@0003") == parsed("deals@deals_0003") == ("deals", "deals_0003")
    assert parsed("deals@base") == ("deals", "base")
    for text in ("deals", "deals@", "@0003", ""):
        with pytest.raises(InputError, match="names no revision"):
            parsed(text)


def test_what_stands_in_abracketed() -> None:
    assert bracketed("(lower(a), (b)) WHERE c") == ("lower(a), (b)", " WHERE c")
