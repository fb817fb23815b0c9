"""Reconciliation of collections: what is wanted less what is there, in order; what nobody declared is reported."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st

from storekeeper.migrations.documents import reconcile
from storekeeper.stores.mongo.wanted import WantedCollection, WantedIndex

NEWEST = WantedIndex("at_-1", (("at", -1),), expire_after_seconds=86_400)
BY_LEVEL = WantedIndex("level_1", (("level", 1),))
LOGS = WantedCollection("lab_invest", "logs", {"$jsonSchema": {"required": ["at"]}}, (NEWEST, BY_LEVEL))


def steps(wanted: WantedCollection, actual: WantedCollection | None, *, prune: bool = False) -> list[tuple[str, str]]:
    changes = reconcile([wanted], [actual] if actual is not None else [], prune=prune)
    return [(change.step.action, change.step.target) for change in changes]


def test_nothing_is_to_do_where_both_agree() -> None:
    assert reconcile([LOGS], [LOGS], prune=True) == ()


def test_a_missing_collection_is_made_with_its_indexes() -> None:
    assert steps(LOGS, None) == [
        ("create collection", "lab_invest.logs"),
        ("create index", "lab_invest.logs.at_-1"),
        ("create index", "lab_invest.logs.level_1"),
    ]


def test_another_validator_is_set() -> None:
    assert steps(LOGS, replace(LOGS, validator={})) == [("set validator", "lab_invest.logs")]


def test_expiry_follows_the_declaration() -> None:
    for seconds in (3_600, None):
        there = replace(LOGS, indexes=(replace(NEWEST, expire_after_seconds=seconds), BY_LEVEL))
        (change,) = reconcile([LOGS], [there])
        assert (change.step.action, change.index) == ("set expiry", NEWEST)
    for_ever = replace(LOGS, indexes=(replace(NEWEST, expire_after_seconds=None), BY_LEVEL))
    (change,) = reconcile([for_ever], [LOGS])
    assert change.step.action == "change index", "an index that expires documents is made anew to stop"
    assert change.step.detail == "expires after 1 days → expires never"


def test_an_index_of_other_keys_under_the_same_name_is_made_anew() -> None:
    for other in (replace(BY_LEVEL, keys=(("level", -1),)), replace(BY_LEVEL, unique=True)):
        there = replace(LOGS, indexes=(NEWEST, other))
        assert steps(LOGS, there) == [("change index", "lab_invest.logs.level_1")]


def test_what_nobody_declared_is_reported_and_dropped_by_prune_alone() -> None:
    extra = WantedIndex("mine_1", (("mine", 1),))
    there = replace(LOGS, indexes=(*LOGS.indexes, extra))
    stranger = WantedCollection("lab_invest", "scratch")
    reported = reconcile([LOGS], [there, stranger])
    assert [(change.step.action, change.step.target) for change in reported] == [
        ("report", "lab_invest.logs.mine_1"),
        ("report", "lab_invest.scratch"),
    ]
    pruned = reconcile([LOGS], [there, stranger], prune=True)
    assert [(change.step.action, change.step.target) for change in pruned] == [
        ("drop index", "lab_invest.logs.mine_1"),
        ("drop collection", "lab_invest.scratch"),
    ]


def test_collections_of_one_name_in_two_databases_stay_apart() -> None:
    elsewhere = replace(LOGS, database="lab_deals")
    targets = {change.step.target for change in reconcile([LOGS, elsewhere], [LOGS])}
    assert targets == {"lab_deals.logs", "lab_deals.logs.at_-1", "lab_deals.logs.level_1"}


INDEXES = st.builds(
    lambda name, order, unique, seconds: WantedIndex(name, ((name, order),), unique, seconds),
    st.sampled_from("abc"),
    st.sampled_from([1, -1]),
    st.booleans(),
    st.sampled_from([None, 60, 120]),
)
COLLECTIONS = st.builds(
    lambda name, validator, indexes: WantedCollection("lab", name, validator, tuple(indexes)),
    st.sampled_from(["one", "two", "three"]),
    st.sampled_from([{}, {"$jsonSchema": {}}]),
    st.lists(INDEXES, unique_by=lambda index: index.name, max_size=3).map(lambda found: sorted(found, key=str)),
)
STATES = st.lists(COLLECTIONS, unique_by=lambda collection: collection.name, max_size=3)


@given(STATES, STATES)
def test_doing_all_steps_leads_from_any_state_to_the_wanted_one(
    wanted: list[WantedCollection], actual: list[WantedCollection]
) -> None:
    state = {collection.name: collection for collection in actual}
    for change in reconcile(wanted, actual, prune=True):
        name, index = change.collection.name, change.index
        there = state.get(name, WantedCollection("lab", name))
        match change.step.action:
            case "create collection":
                assert name not in state
                state[name] = replace(change.collection, indexes=())
            case "set validator":
                state[name] = replace(there, validator=change.collection.validator)
            case "drop collection":
                del state[name]
            case _:
                assert index is not None
                others = tuple(found for found in there.indexes if found.name != index.name)
                kept = () if change.step.action == "drop index" else (index,)
                state[name] = replace(there, indexes=tuple(sorted((*others, *kept), key=str)))
    assert sorted(state.values(), key=str) == sorted(wanted, key=str)
    assert reconcile(wanted, state.values(), prune=True) == ()
