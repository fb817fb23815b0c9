"""Which statements are explained, how, and what a report leaves out."""

from __future__ import annotations

import pytest

from storekeeper.stores.sql.slow import Explanation, explanation, has_parameters, numbered_placeholders, without_values


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "insert into t values (1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "MERGE INTO t",
        "WITH x AS (SELECT 1)",
    ],
)
@pytest.mark.parametrize("before", ["", "  \n", "-- why\n", "/* why */ ", "("])
def test_statements_with_a_plan_are_explained(statement: str, before: str) -> None:
    how = explanation(before + statement, parameters=False, server_version=150000)
    assert how == Explanation(f"EXPLAIN {before}{statement}", extended=True)


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE t (a int)", "COPY t FROM STDIN", "VACUUM", "SELECTED", "CALL p()", "", "EXPLAIN SELECT 1"],
)
def test_others_are_not(statement: str) -> None:
    assert isinstance(explanation(statement, parameters=False, server_version=180000), str)


def test_nothing_is_ever_analysed() -> None:
    for parameters in (False, True):
        how = explanation("SELECT 1", parameters=parameters, server_version=180000)
        assert isinstance(how, Explanation)
        assert "ANALY" not in how.statement.upper()


def test_parameters_stay_open() -> None:
    how = explanation("SELECT %(a)s::int, %(b)s, %(a)s, 5 %% 2", parameters=True, server_version=160000)
    assert how == Explanation("EXPLAIN (GENERIC_PLAN) SELECT $1::int, $2, $1, 5 % 2", extended=False)
    assert isinstance(explanation("SELECT %(a)s", parameters=True, server_version=150999), str)


def test_positional_placeholders_count_up() -> None:
    assert numbered_placeholders("SELECT %s, %s") == "SELECT $1, $2"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("name = 'O''Neil' AND age = 3", "name = '…' AND age = 3"),
        (r"E'it\'s' || 'x'", "'…' || '…'"),
        ("$body$ it's $body$ || $$x$$", "'…' || '…'"),
        ("Filter: (email = 'a@b.c'::text)", "Filter: (email = '…'::text)"),
        ('"a column" = $1', '"a column" = $1'),
    ],
)
def test_values_are_left_out(text: str, left: str) -> None:
    assert without_values(text) == left


def test_whether_an_execution_had_parameters() -> None:
    assert has_parameters({"a": 1})
    assert has_parameters([{"a": 1}])
    assert has_parameters((1,))
    assert not has_parameters({})
    assert not has_parameters(())
    assert not has_parameters(None)
