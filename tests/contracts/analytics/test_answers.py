"""Every kind of dataset, in every form, read back by other means than those that wrote it."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pyarrow as pa
import pytest
from pyarrow import parquet

from conftest import Servers
from storekeeper import Platform, connect, days, hours, minutes
from storekeeper.analytics.asking import BATCH, Answer, Request
from storekeeper.analytics.comparisons import parse
from storekeeper.analytics.explaining import explain
from storekeeper.analytics.export import export, target_of
from storekeeper.analytics.extent import extent
from storekeeper.analytics.reading import answering, read
from storekeeper.clock import FixedClock
from storekeeper.errors import (
    BelowWatermarkError,
    DiskFullError,
    InputError,
    InputFileError,
    NotMigratedError,
    ValueFitError,
)
from storekeeper.migrations import apply
from storekeeper.timescale.statement import Statement

PRICES = "invest.intraday_prices"
START = datetime(2024, 5, 1, tzinfo=UTC)
DAYS = 9
ROWS = 2 * DAYS * 1440
USER = UUID(int=11)
ENDINGS = ("csv", "csv.gz", "csv.zst", "ndjson", "ndjson.gz", "ndjson.zst", "parquet")


@pytest.fixture
def platform(
    migrated_url: str, stack: Servers, redis_url: str, mongo_prefix: str, clock: FixedClock
) -> Iterator[Platform]:
    with connect(
        postgres_url=migrated_url,
        timescale_url=migrated_url,
        mongo_url=stack.urls.mongo,
        redis_url=redis_url,
        mongo_database=mongo_prefix,
        clock=clock,
    ) as opened:
        yield opened


@pytest.fixture
def prices(platform: Platform) -> Platform:
    """A price a minute of two symbols, over some days."""
    moments = [START + timedelta(minutes=minute) for minute in range(DAYS * 1440)]
    for symbol in ("A", "B"):
        platform.timescale.append(
            PRICES,
            pa.table(
                {
                    "time": pa.array(moments, pa.timestamp("us", tz="UTC")),
                    "symbol": [symbol] * len(moments),
                    "price": [Decimal(100_000_001 + place).scaleb(-6) for place in range(len(moments))],
                    "volume": [Decimal(place % 7).scaleb(-8) for place in range(len(moments))],
                }
            ),
        )
    return platform


@pytest.fixture
def people(platform: Platform) -> Platform:
    with platform.postgres.begin() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(
            "INSERT INTO invest.users (id, email, password_hash, first_name, last_name, preferences, created_at)"
            " SELECT gen_random_uuid(), 'u' || n || '@example.org', 'digest', 'Åse, \"Å\"', E'two\\nlines',"
            """ '{"ratio": 1.50, "big": 12345678901234567890.5}',"""
            " timestamptz '2024-05-01Z' + make_interval(days => n)"
            " FROM generate_series(0, 19) AS n"
        )
        driver.execute("UPDATE invest.users SET phone = '' WHERE email = 'u3@example.org'")
        driver.execute("INSERT INTO invest.portfolios (user_id, initial_value) SELECT id, 12.50 FROM invest.users")
    return platform


@pytest.fixture
def logs(platform: Platform) -> Platform:
    apply(platform)
    platform.mongo.insert(
        "invest.logs",
        [
            {
                "timestamp": START + timedelta(minutes=minute),
                "level": ("info", "warn", "error")[minute % 3],
                "service": "api",
                "message": f"line {minute}",
                "metadata": {"code": minute, "cost": Decimal("0.10"), "tags": ["a"]},
                **({"user_id": USER} if minute % 2 else {}),
            }
            for minute in range(30)
        ],
    )
    return platform


def rows(platform: Platform, request: Request) -> list[dict[str, Any]]:
    with answering(platform, request) as answer:
        names = [column.name for column in answer.columns]
        return [dict(zip(names, row, strict=True)) for batch in answer.batches for row in batch]


def stored(platform: Platform, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(platform.url("postgres")) as connection:
        return connection.execute(statement.encode()).fetchall()


def read_back(path: Path) -> list[dict[str, Any]]:
    """By the csv module, json or pyarrow; numbers as Decimals, times as moments, NULL as None."""
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".gz":
        text = gzip.decompress(path.read_bytes()).decode()
    elif path.suffix == ".zst":
        with pa.CompressedInputStream(pa.OSFile(str(path), "rb"), "zstd") as unpacked:
            text = unpacked.read().decode()
    else:
        text = path.read_bytes().decode()
    if "ndjson" in path.name:
        found = [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in text.split("\n")[:-1]]
    else:
        found = list(csv.DictReader(text.splitlines(keepends=True)))
    return [{name: _typed(name, value) for name, value in row.items()} for row in found]


def _typed(name: str, value: Any) -> Any:
    if value in (None, ""):
        return None
    if name in ("time", "bucket"):
        assert value.endswith("Z")
        return datetime.fromisoformat(value)
    return value if name == "symbol" else Decimal(value)


def from_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, strict=True))


def write(platform: Platform, request: Request, path: Path) -> int:
    with answering(platform, request) as answer:
        return export(answer, target_of(path), title="x", time="time", key="symbol")


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_of_a_series_in_every_form(prices: Platform, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    assert write(prices, Request(PRICES), path) == ROWS > 2 * BATCH
    found = read_back(path)
    wanted = stored(prices, f"SELECT time, symbol, price, volume, bid, ask FROM {PRICES} ORDER BY time, symbol")
    assert [tuple(row.values()) for row in found] == wanted
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
def test_bars_and_rollups_in_every_form(prices: Platform, tmp_path: Path, ending: str) -> None:
    asked = Request(PRICES, START, START + timedelta(days=1), keys=["A"], every=minutes(15))
    assert write(prices, asked, tmp_path / f"bars.{ending}") == 96
    exact = prices.timescale.bars(PRICES, ["A"], every=minutes(15), start=asked.start, end=asked.end, exact=True)
    assert read_back(tmp_path / f"bars.{ending}") == exact.to_pylist()
    prices.timescale.refresh(PRICES, as_of=START + timedelta(days=20))
    rollup = Request("invest.stock_prices_1h", columns=["bucket", "symbol", "close", "volume", "notional"])
    assert write(prices, rollup, tmp_path / f"rollup.{ending}") == 2 * DAYS * 24
    wanted = stored(
        prices,
        "SELECT bucket, symbol, close, volume, notional FROM invest.stock_prices_1h ORDER BY bucket, symbol",
    )
    assert [tuple(row.values()) for row in read_back(tmp_path / f"rollup.{ending}")] == wanted


def test_rows_are_chosen_and_cut(prices: Platform) -> None:
    asked = Request(PRICES, START, START + timedelta(minutes=10), keys=["B"], limit=3, columns=["time", "price"])
    with answering(prices, asked) as answer:
        (batch,) = answer.batches
        assert answer.cut
    assert [row[0].minute for row in batch] == [7, 8, 9]
    with answering(prices, Request(PRICES, START, START + timedelta(minutes=3), keys=["B"], limit=3)) as answer:
        assert not answer.cut
    where = [parse("price>=100.000003"), parse("price<100.000005"), parse("symbol!=A")]
    assert [row["price"] for row in rows(prices, Request(PRICES, where=where))] == [
        Decimal("100.000003"),
        Decimal("100.000004"),
    ]
    assert len(rows(prices, Request(PRICES, where=[parse("bid!=")]))) == 0
    assert len(rows(prices, Request(PRICES, where=[parse("bid="), parse("time>=2024-05-09T23:59")]))) == 2
    with pytest.raises(ValueFitError, match="invalid input syntax for type numeric"):
        rows(prices, Request(PRICES, where=[parse("price=high")]))
    bars = read(prices, Request(PRICES, START, None, keys=["A"], every=hours(1), limit=5, columns=["bucket", "close"]))
    assert bars.column_names == ["bucket", "close"]
    assert bars.num_rows == 5
    assert bars.column("bucket")[-1].as_py() == START + timedelta(days=DAYS) - timedelta(hours=1)


def test_the_answer_is_not_held(prices: Platform) -> None:
    """What another session commits in the middle is not part of it, and no batch is longer than said."""
    with answering(prices, Request(PRICES)) as answer:
        first = next(answer.batches)
        with psycopg.connect(prices.url("timescale")) as other:
            other.execute(f"DELETE FROM {PRICES}".encode())
        lengths = [len(first), *map(len, answer.batches)]
    assert sum(lengths) == ROWS
    assert max(lengths) == BATCH
    assert rows(prices, Request(PRICES)) == []


def test_tables_newest_first(people: Platform) -> None:
    found = rows(people, Request("invest.users"))
    assert len(found) == 20
    assert {"email", "phone", "password_hash"}.isdisjoint(found[0])
    with answering(people, Request("invest.users", limit=1)) as answer:
        assert {"email", "first_name", "phone", "password_hash", "password_reset_token"} <= set(answer.hidden)
    people_by_name = rows(people, Request("invest.users", columns=["email", "last_name"]))
    assert [row["email"] for row in people_by_name] == [f"u{n}@example.org" for n in range(19, -1, -1)]
    assert people_by_name[0]["last_name"] == "two\nlines"
    named = rows(people, Request("invest.users", columns=["password_hash"], limit=1))
    assert named == [{"password_hash": "digest"}]
    ranged = Request("invest.users", START + timedelta(days=3), START + timedelta(days=5), columns=["email"])
    assert [row["email"] for row in rows(people, ranged)] == ["u4@example.org", "u3@example.org"]
    by_update = Request("invest.users", None, START + timedelta(days=99), time_column="updated_at")
    assert rows(people, by_update) == []
    for condition, count in (
        ("phone=", 20),
        ("phone!=", 0),
        ("email=u7@example.org", 1),
        ("email!=u7@example.org", 19),
    ):
        assert len(rows(people, Request("invest.users", where=[parse(condition)]))) == count, condition
    (user,) = stored(people, "SELECT id FROM invest.users WHERE email = 'u7@example.org'")
    (portfolio,) = rows(people, Request("invest.portfolios", where=[parse(f"user_id={user[0]}")]))
    assert (portfolio["user_id"], portfolio["initial_value"]) == (str(user[0]), Decimal("12.50"))


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
def test_tables_in_every_form(people: Platform, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"users.{ending}"
    asked = Request("invest.users", columns=["email", "first_name", "last_name", "phone", "preferences", "created_at"])
    assert write(people, asked, path) == 20
    preferences = {"ratio": Decimal("1.50"), "big": Decimal("12345678901234567890.5")}
    if ending == "ndjson":
        found = [json.loads(line, parse_float=Decimal) for line in path.read_text().splitlines()]
        assert found[0]["preferences"] == preferences
        assert found[0]["created_at"] == "2024-05-20T00:00:00Z"
        assert (found[16]["phone"], found[15]["phone"]) == ("", None)
    elif ending == "csv":
        found = from_csv(path)
        assert '\n,"",' not in path.read_text()
        assert path.read_text().count(',"",') == 1, "an empty text is not NULL"
    else:
        found = parquet.read_table(path).to_pylist()
        assert found[0]["created_at"] == START + timedelta(days=19)
    assert [row["email"] for row in found] == [f"u{n}@example.org" for n in range(19, -1, -1)]
    assert {(row["first_name"], row["last_name"]) for row in found} == {('Åse, "Å"', "two\nlines")}
    if ending != "ndjson":
        assert json.loads(found[0]["preferences"], parse_float=Decimal) == preferences


def test_documents_are_chosen_by_typed_values(logs: Platform) -> None:
    def minutes_of(*where: str, **asked: Any) -> list[int]:
        found = rows(logs, Request("invest.logs", where=[parse(one) for one in where], **asked))
        return [row["timestamp"].minute for row in found]

    assert minutes_of() == list(range(30))
    assert minutes_of(limit=2) == [28, 29]
    assert minutes_of(start=START + timedelta(minutes=28)) == [28, 29]
    assert minutes_of("level=error", end=START + timedelta(minutes=9)) == [2, 5, 8]
    assert minutes_of("level=error", "level=warn", end=START + timedelta(minutes=4)) == [1, 2]
    assert minutes_of(f"userId={USER}", end=START + timedelta(minutes=4)) == [1, 3]
    assert minutes_of("userId=", end=START + timedelta(minutes=4)) == [0, 2]
    assert minutes_of("metadata.code>=28") == [28, 29]
    assert minutes_of("metadata.code=7") == [7]
    assert minutes_of("timestamp>2024-05-01T00:28") == [29]


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
def test_documents_in_every_form(logs: Platform, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"logs.{ending}"
    assert write(logs, Request("invest.logs"), path) == 30
    if ending == "ndjson":
        assert json.loads(path.read_text().splitlines()[1], parse_float=Decimal) == {
            "timestamp": "2024-05-01T00:01:00Z",
            "level": "warn",
            "service": "api",
            "message": "line 1",
            "metadata": {"code": 1, "cost": Decimal("0.10"), "tags": ["a"]},
            "userId": str(USER),
            "requestId": None,
            "stackTrace": None,
        }
        return
    found = from_csv(path) if ending == "csv" else parquet.read_table(path).to_pylist()
    assert [row["message"] for row in found] == [f"line {minute}" for minute in range(30)]
    assert json.loads(found[1]["metadata"], parse_float=Decimal)["cost"] == Decimal("0.10")
    assert found[1]["userId"] == str(USER)


def test_a_collection_that_is_not_there(platform: Platform) -> None:
    with pytest.raises(NotMigratedError, match="there is no collection logs"):
        rows(platform, Request("invest.logs"))


def test_where_the_rows_lie(prices: Platform, people: Platform, logs: Platform) -> None:
    newest = START + timedelta(days=DAYS) - timedelta(minutes=1)
    found = extent(prices, Request(PRICES, keys=["A"]))
    assert (found.first, found.last, found.filtered, found.gone) == (START, newest, True, None)
    nobody = extent(prices, Request(PRICES, keys=["nobody"]))
    assert (nobody.first, nobody.last, nobody.filtered) == (START, newest, False)
    assert extent(prices, Request("invest.stock_prices")).first is None
    users = extent(people, Request("invest.users", where=[parse("email=u3@example.org")]))
    assert (users.first, users.last) == (START + timedelta(days=3),) * 2
    lines = extent(logs, Request("invest.logs", where=[parse("level=error")]))
    assert (lines.first, lines.last) == (START + timedelta(minutes=2), START + timedelta(minutes=29))
    prices.timescale.drop_chunks(PRICES, as_of=START + timedelta(days=33))
    left = extent(prices, Request(PRICES))
    assert left.first == left.gone == START + timedelta(days=3)
    bars = extent(prices, Request(PRICES, every=minutes(5)))
    assert bars.first == START, "the rollup holds what was dropped"
    with pytest.raises(BelowWatermarkError):
        rows(prices, Request(PRICES, START, START + timedelta(days=1), every=minutes(7)))


@pytest.mark.parametrize("state", ["new", "refreshed", "behind", "dropped"])
@pytest.mark.parametrize("every", [minutes(5), minutes(15), hours(2), days(1)])
def test_the_explained_statement_is_the_one_that_answers(prices: Platform, state: str, every: Any) -> None:
    if state != "new":
        prices.timescale.refresh(PRICES, as_of=START + timedelta(days=20))
    if state == "behind":
        with psycopg.connect(prices.url("timescale")) as other:
            other.execute(f"UPDATE {PRICES} SET price = 7 WHERE time = '2024-05-02T10:00Z'".encode())
    if state == "dropped":
        prices.timescale.drop_chunks(PRICES, as_of=START + timedelta(days=33))
    asked = Request(PRICES, START, START + timedelta(days=DAYS), keys=["A"], every=every)
    found = explain(prices, asked)
    with prices.timescale.pool.begin() as connection:
        assert found.sql is not None
        explained = connection.execute(Statement(found.sql, found.parameters).clause()).all()
    assert [tuple(row) for row in explained] == [tuple(row.values()) for row in read(prices, asked).to_pylist()]
    sources = [part.source for part in found.parts]
    rollup = "invest.stock_prices_5min" if every in (minutes(5), minutes(15)) else "invest.stock_prices_1h"
    assert sources == {"new": [PRICES], "behind": [rollup, PRICES, rollup]}.get(state, [rollup])
    assert found.parts[0].start == asked.start
    assert found.parts[-1].end == asked.end
    assert all(one.end == other.start for one, other in zip(found.parts, found.parts[1:], strict=False))
    touched = {one.dataset: (one.chunks, one.of) for one in found.touched}
    assert touched[PRICES][1] == (6 if state == "dropped" else 9)
    assert (touched[rollup][0] > 0) == (rollup in sources)
    if state == "refreshed":
        assert touched[PRICES][0] == 0


def test_rows_tables_and_documents_are_explained(prices: Platform, people: Platform, logs: Platform) -> None:
    one_day = Request(PRICES, START, START + timedelta(days=1), keys=["A"], limit=5)
    found = explain(prices, one_day)
    assert [(one.chunks, one.of) for one in found.touched] == [(1, DAYS)]
    assert found.parameters["row_limit"] == 6
    assert isinstance(found.plan, list)
    assert "Limit" in found.plan[0]
    assert "actual time" not in "".join(found.plan), "it is not run"
    table = explain(people, Request("invest.users", where=[parse("email=x")]))
    assert (table.kind, table.touched, list(table.parameters.values())) == ("table", (), ["x"])
    documents = explain(logs, Request("invest.logs", START, where=[parse("level=error")], limit=5))
    assert documents.find is not None
    assert documents.find["filter"] == {"$and": [{"timestamp": {"$gte": START}}, {"level": {"$in": ["error"]}}]}
    assert (documents.plan is None) == bool(documents.note)


def test_a_picture_of_one_line_and_of_candles(prices: Platform, tmp_path: Path) -> None:
    day = (START, START + timedelta(days=1))
    assert write(prices, Request(PRICES, *day, keys=["A"]), tmp_path / "one.png") == 1440
    assert write(prices, Request(PRICES, *day), tmp_path / "two.png") == 2880
    with answering(prices, Request(PRICES, *day, keys=["A"], every=hours(1))) as answer:
        assert export(answer, target_of(tmp_path / "bars.png"), title="A", time="bucket", key="symbol") == 24
    for path in tmp_path.iterdir():
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with (
        answering(prices, Request(PRICES, *day, every=hours(1))) as answer,
        pytest.raises(InputError, match="candles of 2 keys") as caught,
    ):
        export(answer, target_of(tmp_path / "no.png"), title="A", time="bucket", key="symbol")
    assert "--symbol" in caught.value.hint
    assert len(list(tmp_path.iterdir())) == 3


def test_what_cannot_be_written_leaves_what_was_there(prices: Platform, tmp_path: Path) -> None:
    path = tmp_path / "kept.csv"
    path.write_text("kept")
    with pytest.raises(ValueFitError):
        write(prices, Request(PRICES, where=[parse("price=high")]), path)
    with answering(prices, Request(PRICES)) as answer:

        def broken() -> Iterator[Any]:
            yield next(answer.batches)
            raise ValueFitError("the store failed in the middle")

        with pytest.raises(ValueFitError):
            export(Answer(answer.columns, broken()), target_of(path), title="x")
    with pytest.raises(InputFileError, match="No such file or directory"):
        write(prices, Request(PRICES), tmp_path / "nowhere" / "x.csv")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("kept.csv", "kept")]
    with answering(prices, Request(PRICES)) as answer, pytest.raises(DiskFullError, match="no room is left"):
        export(answer, target_of(Path("/dev/full"), "csv"), title="x")
