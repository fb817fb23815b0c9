"""What a declaration asks of the server, and what the server says there is."""

from __future__ import annotations

from dataclasses import replace

from store_models import CATALOG, FORECASTS, LOGS
from storekeeper.span import days
from storekeeper.stores.mongo.wanted import WantedIndex, actual_collection, wanted_collection, wanted_collections

MONTH = 30 * 24 * 3600


def test_the_declared_index_on_the_time_alone_carries_the_expiry() -> None:
    wanted = wanted_collection("storekeeper", "market", LOGS)
    assert (wanted.database, wanted.name) == ("storekeeper_market", "logs")
    assert wanted.indexes == (
        WantedIndex("service_1_timestamp_-1", (("service", 1), ("timestamp", -1))),
        WantedIndex("timestamp_-1", (("timestamp", -1),), False, MONTH),
        WantedIndex("userId_1_timestamp_-1", (("userId", 1), ("timestamp", -1))),
    )


def test_without_one_the_expiry_has_an_index_of_its_own() -> None:
    wanted = wanted_collection("storekeeper", "market", FORECASTS)
    assert wanted.index("madeAt_1") == WantedIndex("madeAt_1", (("madeAt", 1),), False, 6 * MONTH)
    assert wanted.index("symbol_1_madeAt_-1") == WantedIndex(
        "symbol_1_madeAt_-1", (("symbol", 1), ("madeAt", -1)), True
    )
    assert wanted.index("other") is None


def test_what_never_expires_has_none() -> None:
    wanted = wanted_collection("storekeeper", "market", replace(LOGS, drop_after=None))
    assert {index.expire_after_seconds for index in wanted.indexes} == {None}


def test_all_of_a_catalogue() -> None:
    assert [wanted.name for wanted in wanted_collections("p", CATALOG)] == ["logs", "forecasts"]
    assert replace(LOGS, drop_after=days(1)) != LOGS


def test_the_servers_answer_reads_as_what_was_wanted() -> None:
    wanted = wanted_collection("storekeeper", "market", LOGS)
    listed = {"name": "logs", "type": "collection", "options": {"validator": dict(wanted.validator)}}
    indexes = [
        {"v": 2, "key": {"_id": 1}, "name": "_id_"},
        # directions and seconds come as numbers of any kind
        *(
            {
                "v": 2,
                "name": index.name,
                "key": {key: float(order) for key, order in index.keys},
                **(
                    {}
                    if index.expire_after_seconds is None
                    else {"expireAfterSeconds": float(index.expire_after_seconds)}
                ),
            }
            for index in reversed(wanted.indexes)
        ),
    ]
    assert actual_collection("storekeeper_market", listed, indexes) == wanted


def test_a_collection_without_validator_and_an_index_of_another_sort_are_read_too() -> None:
    found = actual_collection("d", {"name": "c"}, [{"name": "t", "key": {"_fts": "text"}}])
    assert found.validator == {}
    assert found.indexes == (WantedIndex("t", (("_fts", 0),)),)
