"""Files into real collections: every record once, whatever happens in between."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from own_servers import own_mongo
from storekeeper import connect
from storekeeper.clock import FixedClock
from storekeeper.errors import (
    ColumnError,
    DeclarationError,
    InputError,
    InputFileError,
    NaiveTimeError,
    NotMigratedError,
    UnavailableError,
    UniqueError,
)
from storekeeper.ingest.documents.ingest_documents import ingest_documents
from storekeeper.ingest.mapping import parse_map
from storekeeper.ingest.options import Options
from storekeeper.ingest.progress import Ingested, Progress
from storekeeper.ingest.readers.text_input import Stdin
from storekeeper.ledger.tables import ingested_files
from storekeeper.platform import Platform
from storekeeper.sample import path
from storekeeper.settings import ClientPool

LOGS, EVENTS = "invest.logs", "invest.analytics"
ALL: dict[str, Any] = {"start": datetime(1990, 1, 1, tzinfo=UTC), "end": datetime(2100, 1, 1, tzinfo=UTC)}
NOW = datetime(2016, 12, 21, tzinfo=UTC)
GOOD = b"[2016-12-19 16:31:46,143] WARN caf\xc3\xa9 (kafka.server.KafkaServer)\r\n"
Ingest = Callable[..., Ingested]


@pytest.fixture
def open_platform(migrated_url: str, mongo_url: str, mongo_prefix: str) -> Callable[[], Platform]:
    """Opens the platform of this test, as often as it is asked to."""

    def opened() -> Platform:
        platform: Platform = connect(
            stores=("postgres", "mongo"),
            postgres_url=migrated_url,
            mongo_url=mongo_url,
            mongo_database=mongo_prefix,
            clock=FixedClock(NOW),
        )
        return platform

    return opened


@pytest.fixture
def platform(open_platform: Callable[[], Platform]) -> Iterator[Platform]:
    with open_platform() as opened:
        for wanted in opened.mongo.wanted_collections():
            opened.mongo.create_collection(wanted)
        yield opened


@pytest.fixture
def ingest(platform: Platform, tmp_path: Path) -> Ingest:
    """Ingests a file, or bytes, or a stream; of log lines where nothing else is said. Rejects go to `tmp_path`."""

    def run(source: Path | bytes | Stdin, dataset: str = LOGS, **options: Any) -> Ingested:
        file = tmp_path / options.pop("name", "server.log") if isinstance(source, bytes) else source
        if isinstance(source, bytes):
            assert isinstance(file, Path)
            file.write_bytes(source)
        given: dict[str, Any] = {"rejects": tmp_path}
        if dataset == LOGS and not str(file.name).endswith(("json", "csv", "parquet")):
            given |= {"form": "kafka", "zone": "UTC", "constants": {"service": "kafka"}}
        own = {name: options.pop(name) for name in ("progress", "batch_documents") if name in options}
        return ingest_documents(platform, dataset, file, Options(**given | options), **own)

    return run


def stored(platform: Platform, dataset: str = LOGS) -> list[dict[str, Any]]:
    return platform.mongo.find(dataset, **ALL, newest_first=False)


def kafka_lines(count: int, first: int = 0) -> bytes:
    begin = datetime(2016, 12, 19, 16, 31, 46)  # noqa: DTZ001  # the lines' own local time
    stamps = (begin + timedelta(milliseconds=7 * number) for number in range(first, first + count))
    return b"".join(
        f"[{stamp:%Y-%m-%d %H:%M:%S},{stamp.microsecond // 1000:03}] INFO number {number} (kafka.log.Log)\n".encode()
        for number, stamp in enumerate(stamps, first)
    )


def messages(platform: Platform) -> list[str]:
    return [document["message"] for document in stored(platform)]


# What goes in


def test_the_sample_is_there_message_by_message(platform: Platform, ingest: Ingest) -> None:
    seen: list[Progress] = []
    result = ingest(path("kafka_server"), batch_documents=1000, progress=seen.append)
    with gzip.open(path("kafka_server"), "rt") as file:
        lines = file.read().splitlines()
    beginnings = sum(line.startswith("[2016-") for line in lines)
    assert (result.rows, result.inserted, result.skipped, result.rejected) == (beginnings, beginnings, 0, 0)
    assert result.continued == len(lines) - beginnings
    assert platform.mongo.count(LOGS, **ALL) == beginnings
    errors = platform.mongo.find(LOGS, **ALL, where={"level": "error"})
    assert len(errors) == 5
    assert errors[0]["metadata"] == {"logger": "kafka.server.ReplicaFetcherThread"}
    size = path("kafka_server").stat().st_size
    assert [(progress.rows, progress.bytes_total) for progress in seen][-3:] == [
        (1000, 2 * size), (2000, 2 * size), (beginnings, 2 * size),
    ]  # fmt: skip
    assert [progress.bytes_read for progress in seen] == sorted(progress.bytes_read for progress in seen)


def test_times_are_local_in_the_zone_that_is_named(platform: Platform, ingest: Ingest) -> None:
    ingest(b"\xef\xbb\xbf" + GOOD, zone="Europe/Berlin")
    assert stored(platform) == [
        {
            "timestamp": datetime(2016, 12, 19, 15, 31, 46, 143_000, tzinfo=UTC),
            "level": "warn",
            "service": "kafka",
            "message": "café",
            "metadata": {"logger": "kafka.server.KafkaServer"},
        }
    ]


def test_a_service_can_come_from_what_the_line_says(platform: Platform, ingest: Ingest) -> None:
    ingest(
        GOOD + b"[2016-12-19 16:31:47,000] INFO no logger\n", constants={}, mapping=parse_map(["service=log-{logger}"])
    )
    assert [document["service"] for document in stored(platform)] == ["log-kafka.server.KafkaServer"]


def test_ndjson_becomes_events(platform: Platform, ingest: Ingest) -> None:
    user, session = uuid4(), uuid4()
    event = {
        "eventType": "page_view", "userId": str(user), "sessionId": str(session),
        "timestamp": "2016-12-20T10:00:00+01:00",
        "properties": {"page": "/", "depth": 3}, "context": {"ip": "203.0.113.9", "userAgent": None},
    }  # fmt: skip
    lines = json.dumps(event) + "\n\n" + json.dumps({**event, "timestamp": 1482224400.5, "extra": 1}) + "\n"
    result = ingest(lines.encode(), EVENTS, name="events.ndjson")
    assert (result.inserted, result.rejected) == (1, 1)
    assert [(reject.place, reject.column, reject.reason) for reject in result.files[0].first] == [
        (3, "extra", "is no field of the dataset")
    ]
    assert stored(platform, EVENTS) == [
        {
            "eventType": "page_view",
            "userId": user,
            "sessionId": session,
            "timestamp": datetime(2016, 12, 20, 9, tzinfo=UTC),
            "properties": {"page": "/", "depth": 3},
            "context": {"ip": "203.0.113.9"},
        }
    ]


def test_ndjson_of_another_shape_is_mapped(platform: Platform, ingest: Ingest) -> None:
    line = {
        "type": "Push",
        "actor": {"login": "ada"},
        "at": "20.12.2016 10:00",
        "repo": {"id": 7, "name": "a/b"},
        "n": [1],
    }
    ingest(
        json.dumps(line).encode(),
        EVENTS,
        name="events.jsonl",
        mapping=parse_map(
            ["eventType={type}Event", "timestamp=at", "properties.actor=actor.login", "properties.repo=repo"]
        ),
        constants={"properties.action": "push", "context": '{"deviceType": "server"}'},
        time_format="%d.%m.%Y %H:%M",
        zone="Europe/Berlin",
    )
    assert stored(platform, EVENTS) == [
        {
            "eventType": "PushEvent",
            "timestamp": datetime(2016, 12, 20, 9, tzinfo=UTC),
            "properties": {"action": "push", "actor": "ada", "repo": {"id": 7, "name": "a/b"}},
            "context": {"deviceType": "server"},
        }
    ]


def test_csv_and_parquet_build_objects_of_dotted_columns(platform: Platform, ingest: Ingest) -> None:
    text = (
        "modelName,modelVersion,symbol,timestamp,prediction.targetPrice,prediction.confidence,prediction.range,features\n"
        'lstm,1.2,ACME,2016-12-20T09:00:00Z,101.25,0.5,"{""low"": 1, ""high"": 2.5}","{""ma"": [1, 2]}"\n'
        "lstm,1.2,ACME,2016-12-20T09:00:00Z,101.25,0.5,,\n"
        "lstm,1.2,ACME,2016-12-20T09:00:00Z,101.25,0.5,,{\n"
    )
    result = ingest(text.encode(), "invest.ml_results", name="results.csv")
    assert [reject.column for reject in result.files[0].first] == ["features"]
    table = pa.table(
        {
            "modelName": ["arima"],
            "modelVersion": ["2"],
            "symbol": ["ACME"],
            "timestamp": pa.array([datetime(2016, 12, 20, 10)], pa.timestamp("ns")),  # noqa: DTZ001  # local
            "prediction": [{"targetPrice": 7, "confidence": 0.25, "horizon": "7d"}],
            "features": [{"ma": [1, 2]}],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    ingest(file.getvalue(), "invest.ml_results", name="results.parquet", zone="Europe/Berlin")
    first, second, third = sorted(stored(platform, "invest.ml_results"), key=lambda d: (d["modelName"], -len(d)))
    assert first["prediction"] == {"targetPrice": 7, "confidence": 0.25, "horizon": "7d"}
    assert first["timestamp"] == second["timestamp"] == third["timestamp"] == datetime(2016, 12, 20, 9, tzinfo=UTC)
    by_range = {"range" in document["prediction"]: document for document in (second, third)}
    assert by_range[True]["features"] == {"ma": [1, 2]}
    assert str(by_range[True]["prediction"]["targetPrice"]) == "101.25"
    assert by_range[False]["features"] == {}


def test_standard_input_is_read_twice_all_the_same(platform: Platform, ingest: Ingest) -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(gzip.compress(kafka_lines(300)))

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as stream:
        result = ingest(Stdin(stream))
    writer.join()
    assert result.inserted == len(set(messages(platform))) == 300


def test_what_is_about_to_expire_is_counted(ingest: Ingest) -> None:
    old = GOOD.replace(b"2016-12-19", b"2016-11-20")
    assert ingest(old + GOOD * 2, dry_run=True).expiring == 1


# What is wrong


@pytest.mark.parametrize(
    ("content", "options", "error", "says"),
    [
        (GOOD, {"zone": None}, NaiveTimeError, "carry no zone"),
        (GOOD, {"zone": "Mars/Olympus"}, InputError, "no time zone"),
        (GOOD, {"constants": {}}, InputError, "name no service"),
        (GOOD, {"constants": {"servicee": "x"}}, ColumnError, "no field servicee"),
        (GOOD, {"form": "kafak"}, InputError, "no format of log lines is called 'kafak'"),
        (GOOD, {"form": None}, InputError, "is a log: of which format is not said"),
        (b"03-17 16:13:38.811  1  2 D Tag: x\n", {"form": "android"}, InputError, "line 1: has a time without a year"),
        (GOOD, {"form": "regex:(?P<message>.*)"}, InputError, "no group timestamp"),
        (GOOD, {"version": "seq"}, InputError, "version is for rows"),
        (GOOD, {"dataset": "invest.loggs"}, DeclarationError, "no such collection"),
        (b"", {}, InputFileError, "is empty"),
        (b"\n" + b"who knows\n" + GOOD, {"strict": True}, InputError, "line 2: begins no message"),
        (
            GOOD * 3 + GOOD.replace(b"-12-", b"-13-"),
            {"strict": True},
            InputError,
            "line 4: has a time that does not exist",
        ),
        (GOOD * 3 + b"caf\xe9\n", {"strict": True}, InputError, "line 4: is not UTF-8"),
        (gzip.compress(GOOD * 1000, mtime=0)[:-6], {}, InputFileError, "damaged or cut off"),
        (b"Jun 14 15:16:01 combo su: x\n", {"form": "syslog"}, InputError, "line 1: has a time without a year"),
        (b'{"ts": "2016-12-19T00:00:00", "msg": "x"}', {"form": "json", "zone": None}, NaiveTimeError, "line 1"),
    ],
)
def test_what_is_wrong_leaves_nothing(
    platform: Platform, ingest: Ingest, content: bytes, options: dict[str, Any], error: type[Exception], says: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    with pytest.raises(error, match=says):
        ingest(content, batch_documents=1, **options)
    assert stored(platform) == []
    assert {file.name for file in tmp_path.iterdir()} == {"server.log"}


def test_what_cannot_be_taken_goes_to_a_file_and_the_rest_goes_in(
    platform: Platform, ingest: Ingest, tmp_path: Path
) -> None:
    late = GOOD.replace(b"16:31:46", b"16:31:47")
    content = b"who knows\n" + GOOD + GOOD.replace(b"-12-", b"-13-") + b"\tat x.Y(Z.java:1)\n" + late + b"caf\xe9\n"
    result = ingest(content)
    assert (result.rows, result.inserted, result.rejected) == (5, 2, 3)
    assert [document["timestamp"].second for document in stored(platform)] == [46, 47]
    assert dict(result.files[0].reasons) != {}
    rejects = (tmp_path / "server.log.rejects.csv").read_bytes()
    assert rejects.startswith(b"line,column,reason,row\r\n1,,begins no message as kafka writes it,who knows\r\n")
    assert b"caf\xe9\r\n" in rejects
    assert b"\tat x.Y(Z.java:1)" in rejects


def test_a_document_that_is_too_long_or_too_deep_is_left_out(platform: Platform, ingest: Ingest) -> None:
    deep = (
        b'{"timestamp": "2016-12-19T00:00:00Z", "eventType": "x", "properties": ' + b'{"a":' * 150 + b"1" + b"}" * 151
    )
    wide = (
        b'{"timestamp": "2016-12-19T00:00:00Z", "eventType": "x", "properties": {"a": [' + b"1," * 1_700_000 + b"1]}}"
    )
    huge = b'{"timestamp": "2016-12-19T00:00:00Z", "eventType": "x", "properties": {"a": 123456789012345678901}}'
    good = b'{"timestamp": "2016-12-19T00:00:00Z", "eventType": "x"}'
    result = ingest(b"\n".join((deep, wide, huge, good)), EVENTS, name="events.ndjson")
    assert result.inserted == 1
    assert [(reject.place, reject.reason) for reject in result.files[0].first] == [
        (1, "nests deeper than 100 levels"),
        (2, "is longer than the 16 MB that a document holds"),
        (3, "has an integer of more than 64 bits"),
    ]
    assert len(stored(platform, EVENTS)) == 1


def test_what_the_server_refuses_is_told_by_its_line(platform: Platform, ingest: Ingest) -> None:
    platform.mongo.collection(LOGS).create_index("message", unique=True)
    with pytest.raises(UniqueError, match="the document of line 3 is refused") as raised:
        ingest(kafka_lines(2) + kafka_lines(1) + kafka_lines(1, first=9))
    assert "number 0" not in str(raised.value)
    assert len(stored(platform)) == 3


def test_a_collection_that_is_not_there(open_platform: Callable[[], Platform], tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    file.write_bytes(GOOD)
    options = Options(form="kafka", zone="UTC", constants={"service": "kafka"})
    with open_platform() as platform, pytest.raises(NotMigratedError):
        ingest_documents(platform, LOGS, file, options)


# Nothing twice


def test_a_dry_run_checks_all_and_writes_nothing(platform: Platform, ingest: Ingest, tmp_path: Path) -> None:
    content = kafka_lines(5) + b"[2016-13-01 00:00:00,000] INFO x\n"
    result = ingest(content, dry_run=True)
    assert (result.rows, result.inserted, result.rejected, result.dry_run) == (6, 5, 1, True), "what it would do"
    assert stored(platform) == []
    assert [file.name for file in tmp_path.iterdir()] == ["server.log"]
    assert ingest(content).inserted == 5


def test_a_file_that_was_ingested_is_refused_and_can_be_taken_again(platform: Platform, ingest: Ingest) -> None:
    content = kafka_lines(50)
    ingest(content)
    for same in (content, gzip.compress(content), gzip.compress(content, 1)):
        with pytest.raises(InputError, match="the same content was ingested"):
            ingest(same)
    assert ingest(content, again=True).inserted == 50
    assert ingest(content, again=True).inserted == 50
    assert set(Counter(messages(platform)).values()) == {3}


def test_equal_lines_are_documents_of_their_own(platform: Platform, ingest: Ingest) -> None:
    assert ingest(GOOD * 5).inserted == 5
    assert len(stored(platform)) == 5


def test_of_a_file_that_has_grown_the_new_lines_go_in(platform: Platform, ingest: Ingest) -> None:
    ingest(kafka_lines(100).removesuffix(b"\n"))
    result = ingest(kafka_lines(150))
    assert (result.inserted, result.skipped, result.rows) == (50, 100, 150)
    assert sorted(Counter(messages(platform)).values()) == [1] * 150


def test_what_is_added_while_a_file_is_read_is_not_seen(platform: Platform, ingest: Ingest, tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    file.write_bytes(kafka_lines(100))

    def grow(_: Progress) -> None:
        with file.open("ab") as appended:
            appended.write(kafka_lines(1, first=500))

    assert ingest(file, batch_documents=10, progress=grow).inserted == 100
    assert len(stored(platform)) == 100


def test_a_file_that_is_changed_while_it_is_read_does_not_count_as_ingested(
    platform: Platform, ingest: Ingest, tmp_path: Path
) -> None:
    file = tmp_path / "server.log"
    content = kafka_lines(100)
    file.write_bytes(content)

    def change(progress: Progress) -> None:
        if progress.rows == 0:
            file.write_bytes(content.replace(b"number 9", b"numero 9"))

    with pytest.raises(InputError, match="was changed while it was read"):
        ingest(file, progress=change)
    assert ingest(file).skipped == 100, "it is not known, though its documents are there"


@pytest.mark.parametrize(
    ("make", "says"), [(lambda path: path.mkdir(), "Is a directory"), (lambda _: None, "No such file")]
)
def test_what_cannot_be_opened(ingest: Ingest, tmp_path: Path, make: Callable[[Path], None], says: str) -> None:
    make(tmp_path / "x.log")
    with pytest.raises(InputFileError, match=says):
        ingest(tmp_path / "x.log")


def test_a_named_pipe_is_read_once(platform: Platform, ingest: Ingest, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.log"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[kafka_lines(20)])
    writer.start()
    assert ingest(pipe).inserted == 20
    writer.join()


def test_two_at_once_double_nothing(platform: Platform, open_platform: Callable[[], Platform], tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    file.write_bytes(kafka_lines(3000))
    options = Options(form="kafka", zone="UTC", constants={"service": "kafka"}, rejects=tmp_path)
    meeting = threading.Barrier(2)
    results: list[Ingested] = []

    def run() -> None:
        def wait(progress: Progress) -> None:
            if progress.rows == 0 and progress.bytes_read == file.stat().st_size:
                meeting.wait()

        with open_platform() as own:
            results.append(ingest_documents(own, LOGS, file, options, batch_documents=100, progress=wait))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.inserted + result.skipped for result in results] == [3000, 3000]
    assert sum(result.inserted for result in results) == 3000
    assert sorted(Counter(messages(platform)).values()) == [1] * 3000
    with platform.postgres.begin() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(ingested_files)).scalar_one() == 1
    with pytest.raises(InputError, match="the same content was ingested"):
        ingest_documents(platform, LOGS, file, options)


@pytest.mark.faults
def test_what_a_dead_server_cut_off_is_finished_by_the_next_run(migrated_url: str, tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    file.write_bytes(kafka_lines(500))
    options = Options(form="kafka", zone="UTC", constants={"service": "kafka"}, rejects=tmp_path)
    with (
        own_mongo(tmp_path) as server,
        connect(
            stores=("postgres", "mongo"),
            postgres_url=migrated_url,
            mongo_url=f"mongodb://127.0.0.1:{server.port}/",
            mongo_pool=ClientPool(min=1, size=2, connect=1, operation=5),
        ) as platform,
    ):
        for wanted in platform.mongo.wanted_collections():
            platform.mongo.create_collection(wanted)

        def die(progress: Progress) -> None:
            if progress.rows == 200:
                server.kill()

        with pytest.raises(UnavailableError, match="goes on from there"):
            ingest_documents(platform, LOGS, file, options, batch_documents=100, progress=die)
        server.start()
        result = ingest_documents(platform, LOGS, file, options)
        assert (result.inserted + result.skipped, result.skipped >= 200) == (500, True)
        assert sorted(Counter(messages(platform)).values()) == [1] * 500


_CHILD = """
import sys, time
from pathlib import Path
from storekeeper import connect
from storekeeper.ingest.documents.ingest_documents import ingest_documents
from storekeeper.ingest.options import Options

postgres, mongo, prefix, file = sys.argv[1:]

def slowly(progress):
    if progress.rows:
        print(progress.rows, flush=True)
        time.sleep(0.05)

with connect(stores=("postgres", "mongo"), postgres_url=postgres, mongo_url=mongo, mongo_database=prefix) as platform:
    options = Options(form="kafka", zone="UTC", constants={"service": "kafka"})
    ingest_documents(platform, "invest.logs", Path(file), options, batch_documents=50, progress=slowly)
"""


@pytest.mark.faults
def test_a_server_that_is_stuck_for_a_while_is_waited_for(migrated_url: str, tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    file.write_bytes(kafka_lines(500))
    options = Options(form="kafka", zone="UTC", constants={"service": "kafka"}, rejects=tmp_path)
    with (
        own_mongo(tmp_path) as server,
        connect(
            stores=("postgres", "mongo"),
            postgres_url=migrated_url,
            mongo_url=f"mongodb://127.0.0.1:{server.port}/",
            mongo_pool=ClientPool(min=1, size=2, connect=1, operation=1),
        ) as platform,
    ):
        for wanted in platform.mongo.wanted_collections():
            platform.mongo.create_collection(wanted)
        goes_on: list[threading.Timer] = []

        def stick(progress: Progress) -> None:
            if progress.rows == 200:
                server.signal(signal.SIGSTOP)
                goes_on.append(threading.Timer(2.5, server.signal, [signal.SIGCONT]))
                goes_on[0].start()

        result = ingest_documents(platform, LOGS, file, options, batch_documents=100, progress=stick)
        goes_on[0].join()
        assert result.inserted + result.skipped == 500
        assert sorted(Counter(messages(platform)).values()) == [1] * 500


def test_what_was_killed_half_way_is_finished_by_the_next_run(
    platform: Platform, ingest: Ingest, migrated_url: str, mongo_url: str, mongo_prefix: str, tmp_path: Path
) -> None:
    file = tmp_path / "server.log"
    file.write_bytes(kafka_lines(2000))
    argv = [sys.executable, "-c", _CHILD, migrated_url, mongo_url, mongo_prefix, str(file)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            acknowledged = next(rows for line in child.stdout if (rows := int(line)) >= 500)
        finally:
            child.kill()
    deadline = time.monotonic() + 10
    while (there := platform.mongo.count(LOGS, **ALL)) < acknowledged and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 500 <= there < 2000
    result = ingest(file)
    assert result.skipped >= acknowledged
    assert (result.inserted + result.skipped, result.rejected) == (2000, 0)
    assert sorted(Counter(messages(platform)).values()) == [1] * 2000
