"""What may stand in the audit log, and what the walk along its chain finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from storekeeper.errors import InputError
from storekeeper.ledger.audit import AuditRow, append
from storekeeper.ledger.audit_chain import Anchor, Finding, Link, Walk, extended

USER = "7d1c1b4e-8f0b-4f0e-9a51-6a7a4a3f5a01"
NOON = datetime(2026, 5, 7, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "detail",
    [
        {"email": "x"},
        {"user_name": "x"},
        {"ip": "x"},
        {"new_password": "x"},
        {"Reason": "x"},
        {"reason": "ann@example.org"},
        {"reason": "she asked for it"},
        {"reason": "+49170123456"},
        {"reason": "10.1.2.3"},
        {"reason": "fe80::1"},
        {"reason": "x" * 129},
        {"reason": ""},
        {"count": 2**63},
        {"rate": 0.5},
        {"nested": {"a": 1}},
        {f"k{n}": n for n in range(21)},
    ],
)
def test_what_may_identify_a_person_is_refused_and_not_repeated(detail: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        append("login", subject="deals.users", subject_id=USER, detail=detail)
    long = [value for value in detail.values() if isinstance(value, str) and len(value) > 1]
    assert not [value for value in long if value in str(refused.value)]


@pytest.mark.parametrize(
    ("action", "subject", "subject_id"),
    [("lunch", "deals.users", USER), ("login", "deals users", USER), ("login", "deals.users", "ann@example.org")],
)
def test_actions_are_a_closed_list_and_subjects_are_ids(action: Any, subject: str, subject_id: str) -> None:
    with pytest.raises(InputError):
        append(action, subject=subject, subject_id=subject_id, detail={})


def test_ids_digests_and_names_of_things_are_taken() -> None:
    append(
        "destructive_confirmed",
        subject="storekeeper.jobs",
        subject_id="x",
        detail={"session_id": USER, "token_digest": "0f" * 32, "as_of": "2026-11-21T00:00:00Z", "n": -1, "yes": True},
    )


texts = st.text(max_size=5)
rows = st.builds(
    AuditRow,
    id=st.integers(1, 10**6),
    at=st.integers(0, 10**6).map(lambda micros: NOON + timedelta(microseconds=micros)),
    action=st.sampled_from(["login", "erased"]),
    subject=texts,
    subject_id=texts,
    actor=st.none() | texts,
    request_id=st.none() | texts,
    db_role=texts,
    detail=st.dictionaries(texts, texts | st.integers(2, 9) | st.booleans(), max_size=3),
)
logs = st.lists(rows, min_size=1, max_size=8, unique_by=lambda row: row.id)


def chained(log: list[AuditRow], cut: int = 0) -> list[tuple[Link, AuditRow]]:
    """A log, sealed in two runs, a minute apart."""
    first = extended(None, log[:cut], NOON + timedelta(seconds=1))
    second = extended(first[-1] if first else None, log[cut:], NOON + timedelta(minutes=1))
    return list(zip((*first, *second), log, strict=True))


def findings(chain: list[tuple[Link, AuditRow | None]], expect: Anchor | None = None) -> list[Finding]:
    walk = Walk(expect)
    return [*(found for link, row in chain for found in walk.step(link, row)), *walk.end()]


@given(log=logs, data=st.data())
def test_a_chain_as_it_was_sealed_has_no_findings(log: list[AuditRow], data: st.DataObject) -> None:
    chain = chained(log, data.draw(st.integers(0, len(log))))
    link = data.draw(st.sampled_from(chain))[0]
    assert findings([*chain], Anchor(link.position, link.hash)) == []
    assert findings([*chain], Anchor.parse(str(Anchor(link.position, link.hash)))) == []


@given(log=logs, other=rows, data=st.data())
def test_a_row_that_was_changed_is_the_one_finding(log: list[AuditRow], other: AuditRow, data: st.DataObject) -> None:
    chain: list[tuple[Link, AuditRow | None]] = [*chained(log)]
    at = data.draw(st.integers(0, len(chain) - 1))
    column = data.draw(
        st.sampled_from(["at", "action", "subject", "subject_id", "actor", "request_id", "db_role", "detail"])
    )
    changed = replace(log[at], **{column: getattr(other, column)})
    chain[at] = chain[at][0], changed
    expected = [] if changed == log[at] else [("changed", log[at].id)]
    assert [(found.kind, found.row_id) for found in findings(chain)] == expected


@given(log=logs, data=st.data())
def test_rows_and_links_that_are_gone_are_found(log: list[AuditRow], data: st.DataObject) -> None:
    chain: list[tuple[Link, AuditRow | None]] = [*chained(log)]
    at = data.draw(st.integers(0, len(chain) - 1))
    without_row = [(link, None if n == at else row) for n, (link, row) in enumerate(chain)]
    assert [(found.kind, found.row_id) for found in findings(without_row)] == [("missing", log[at].id)]
    without_link = [step for n, step in enumerate(chain) if n != at]
    last = chain[-1][0]
    assert findings(without_link, Anchor(last.position, last.hash)) != []
    if at < len(chain) - 1:
        assert [(found.kind, found.position) for found in findings(without_link)] == [("missing", at + 1)]


@given(log=logs, data=st.data())
def test_a_chain_that_was_cut_off_or_computed_anew_is_found_by_an_anchor(
    log: list[AuditRow], data: st.DataObject
) -> None:
    last = chained(log)[-1][0]
    anchor = Anchor(last.position, last.hash)
    assert [found.kind for found in findings([*chained(log[:-1])], anchor)] == ["cut off"]
    anew = [replace(log[0], subject_id="somebody else"), *log[1:]]
    assert findings([*chained(anew)]) == []
    assert [found.kind for found in findings([*chained(anew)], anchor)] == ["changed"]


def row(number: int, at: datetime) -> AuditRow:
    return AuditRow(number, at, "login", "deals.users", "1", None, None, "app", {})


def test_a_row_that_was_slipped_in_with_an_old_date_is_found() -> None:
    first = extended(None, [row(1, NOON)], NOON + timedelta(seconds=5))
    slipped = row(2, NOON - timedelta(hours=1))
    second = extended(first[-1], [slipped], NOON + timedelta(seconds=10))
    found = findings([(first[0], row(1, NOON)), (second[0], slipped)])
    assert [(finding.kind, finding.row_id) for finding in found] == [("inserted", 2)]


def test_rows_that_waited_out_an_outage_together_are_not_suspected() -> None:
    first = extended(None, [row(1, NOON)], NOON + timedelta(seconds=5))
    waited = [row(number, NOON + timedelta(minutes=number)) for number in range(2, 60)]
    second = extended(first[-1], waited, NOON + timedelta(hours=1))
    assert findings([*zip((*first, *second), [row(1, NOON), *waited], strict=True)]) == []


@pytest.mark.parametrize("text", ["", "1", "1:", "1:ab", "x:" + "0" * 64, "-1:" + "0" * 64])
def test_an_anchor_is_read_strictly(text: str) -> None:
    with pytest.raises(InputError):
        Anchor.parse(text)
