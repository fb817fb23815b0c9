"""Log files into a real collection: every message, or none."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storekeeper import connect
from storekeeper.errors import DeclarationError, InputError, InputFileError, NaiveTimeError, NotMigratedError
from storekeeper.ingest.log_files import ingest_logs
from storekeeper.ingest.progress import Progress
from storekeeper.platform import Platform
from storekeeper.sample import path

LOGS = "invest.logs"
DAY: dict[str, Any] = {"start": datetime(2016, 12, 19, tzinfo=UTC), "end": datetime(2016, 12, 21, tzinfo=UTC)}
GOOD = b"[2016-12-19 16:31:46,143] WARN caf\xc3\xa9 (kafka.server.KafkaServer)\r\n"


@pytest.fixture
def platform(mongo_url: str, mongo_prefix: str) -> Iterator[Platform]:
    with connect(stores=("mongo",), mongo_url=mongo_url, mongo_database=mongo_prefix) as opened:
        for wanted in opened.mongo.wanted_collections():
            opened.mongo.create_collection(wanted)
        yield opened


def stored(platform: Platform) -> list[dict[str, Any]]:
    return platform.mongo.find(LOGS, **DAY, newest_first=False)


def test_the_sample_is_there_message_by_message(platform: Platform) -> None:
    seen: list[Progress] = []
    result = ingest_logs(
        platform, LOGS, path("kafka_server"), zone="UTC", service="kafka", batch_documents=1000, progress=seen.append
    )
    with gzip.open(path("kafka_server"), "rt") as file:
        beginnings = sum(line.startswith("[2016-") for line in file)
    assert result.rows == beginnings == platform.mongo.count(LOGS, **DAY)
    assert [progress.rows for progress in seen] == [1000, 2000, beginnings]
    errors = platform.mongo.find(LOGS, **DAY, where={"level": "error"})
    assert len(errors) == 5
    assert errors[0]["metadata"] == {"logger": "kafka.server.ReplicaFetcherThread"}


def test_times_are_local_in_the_zone_that_is_named(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD)
    ingest_logs(platform, LOGS, file, zone="Europe/Berlin", service="kafka")
    assert stored(platform) == [
        {
            "timestamp": datetime(2016, 12, 19, 15, 31, 46, 143_000, tzinfo=UTC),
            "level": "warn",
            "service": "kafka",
            "message": "café",
            "metadata": {"logger": "kafka.server.KafkaServer"},
        }
    ]


@pytest.mark.parametrize(
    ("content", "options", "error", "says"),
    [
        (GOOD, {"zone": None}, NaiveTimeError, "carry no zone"),
        (GOOD, {"zone": "Mars/Olympus"}, InputError, "no time zone"),
        (GOOD, {"service": ""}, InputError, "no service"),
        (GOOD, {"dataset": "invest.loggs"}, DeclarationError, "no such collection"),
        (b"", {}, InputFileError, "is empty"),
        (b"\n" + b"who knows\n" + GOOD, {}, InputFileError, "line 2 begins no message"),
        (GOOD * 3 + GOOD.replace(b"-12-", b"-13-"), {}, InputFileError, "line 4 has a time that does not exist"),
        (GOOD * 3 + b"caf\xe9\n", {}, InputFileError, "line 4 is not UTF-8"),
        (gzip.compress(GOOD * 1000, mtime=0)[:-6], {}, InputFileError, "damaged or cut off"),
    ],
)
def test_what_is_wrong_leaves_nothing(
    platform: Platform, tmp_path: Path, content: bytes, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    file = tmp_path / "server.log"
    file.write_bytes(content)
    arguments: dict[str, Any] = {"dataset": LOGS, "zone": "UTC", "service": "kafka", "batch_documents": 1, **options}
    with pytest.raises(error, match=says):
        ingest_logs(platform, arguments.pop("dataset"), file, **arguments)
    assert stored(platform) == []


def test_a_collection_that_is_not_there(mongo_url: str, mongo_prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    file.write_bytes(GOOD)
    with (
        connect(stores=("mongo",), mongo_url=mongo_url, mongo_database=mongo_prefix) as platform,
        pytest.raises(NotMigratedError),
    ):
        ingest_logs(platform, LOGS, file, zone="UTC", service="kafka")
