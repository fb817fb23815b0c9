"""migrate, ingest, query, jobs, backup and status: what the commands do to real stores, and what they say of it."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyarrow import parquet

from command_line import CommandLine
from storekeeper import sample

PRICES = "invest.intraday_prices"
SYMBOL = "WETH-USDC@univ3-polygon"
#: Rows of the five days that are older than 30 days on August 23.
DROPPED = 5 * 1440
DAY = ("--from", "2022-08-20", "--to", "2022-08-21")


def postgres(commands: CommandLine, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(commands.settings["STOREKEEPER_POSTGRES_URL"]) as connection:
        return connection.execute(statement).fetchall()


def test_a_plan_changes_nothing_and_is_what_migrate_does(unmigrated: CommandLine) -> None:
    relations = "SELECT relnamespace::regnamespace::text, relname FROM pg_class ORDER BY 1, 2"
    empty = postgres(unmigrated, relations)
    planned = unmigrated("migrate", "--plan", "--json").json
    shown = unmigrated("migrate", "--plan").out
    assert f"To do: {len(planned['steps'])} steps" in shown
    assert all(step["target"] in shown for step in planned["steps"])
    assert unmigrated("status", "--json").json["pending"] != []
    assert postgres(unmigrated, relations) == empty
    done = unmigrated("migrate", "--json").json
    assert (planned["applied"], done["applied"]) == (False, True)
    assert done["steps"] == planned["steps"]
    assert {step["store"] for step in done["steps"]} == {"postgres", "timescale", "mongo"}
    made = postgres(unmigrated, relations)
    assert len(made) > len(empty)
    assert unmigrated("migrate").out == "nothing to do: postgres, timescale and mongo are as the catalogue declares\n"
    assert (
        unmigrated("migrate", "--plan").out
        == "nothing to do: postgres, timescale and mongo are as the catalogue declares\n"
    )
    assert postgres(unmigrated, relations) == made
    found = unmigrated("status", "--json").json
    assert (found["pending"], found["drift"]) == ([], [])


def test_migrate_makes_a_missing_database(unmigrated: CommandLine) -> None:
    url = unmigrated.settings["STOREKEEPER_POSTGRES_URL"].replace("/test_", "/test_missing_", 1)
    name = url.rpartition("/")[2].partition("?")[0]
    try:
        refused = unmigrated("migrate", code=3, STOREKEEPER_POSTGRES_URL=url)
        assert "run `storekeeper migrate --create`" in refused.err
        made = unmigrated("migrate", "--create", STOREKEEPER_POSTGRES_URL=url)
        assert f"created database {name}" in made.err
        assert "Done: " in made.out
        again = unmigrated("migrate", "--create", STOREKEEPER_POSTGRES_URL=url)
        assert (again.out, again.err) == (
            "nothing to do: postgres, timescale and mongo are as the catalogue declares\n",
            "",
        )
    finally:
        with psycopg.connect(unmigrated.settings["STOREKEEPER_POSTGRES_URL"], autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def test_a_file_is_mapped_into_a_dataset(commands: CommandLine) -> None:
    """A column by another name, a constant, a template, the middle of bid and ask; plain and gzip."""
    text = "when,coin,b,a,remark\n2024-05-01 10:00,BTC,10.1,10.2,x\n2024-05-01 10:01,BTC,10.3,10.3,y\n"
    (commands.folder / "one.csv").write_text(text)
    (commands.folder / "two.csv.gz").write_bytes(gzip.compress(text.replace("BTC", "ETH").encode()))
    options = ("--map", "time=when", "--map", "symbol={coin}@bitstamp", "--map", "price=mid(b,a)", "--set", "volume=7")
    zone = ("--zone", "Europe/Paris")
    said = commands("ingest", PRICES, "one.csv", "two.csv.gz", *options, *zone).out.splitlines()
    assert [line.partition(" in ")[0] for line in said] == [
        f"one.csv → {PRICES}: 2 rows",
        f"two.csv.gz → {PRICES}: 2 rows",
    ]
    assert postgres(commands, f"SELECT time, symbol, price, volume FROM {PRICES} ORDER BY symbol, time") == [
        (datetime(2024, 5, 1, 8, minute, tzinfo=UTC), f"{coin}@bitstamp", price, Decimal(7))
        for coin in ("BTC", "ETH")
        for minute, price in ((0, Decimal("10.150000")), (1, Decimal("10.300000")))
    ]
    assert "--again" in commands("ingest", PRICES, "one.csv", *options, *zone, "--on-conflict", "skip", code=2).err
    skip = ("--again", "--on-conflict", "skip")
    again = commands("ingest", PRICES, "one.csv", *options, *zone, *skip, "--json").json
    assert (again["rows"], again["inserted"], again["skipped"]) == (2, 0, 2)
    changed = (*options[:-1], "volume=8", "--again", *zone, "--on-conflict", "update", "--json")
    again = commands("ingest", PRICES, "one.csv", *changed).json
    assert (again["inserted"], again["updated"]) == (0, 2)


def test_rounding_is_asked_for_and_counted(commands: CommandLine) -> None:
    (commands.folder / "fine.csv").write_text(
        "time,symbol,volume,price\n2024-05-01T10:00Z,A,1,1.0000005\n2024-05-01T10:01Z,A,1,2\n"
    )
    strict = commands("ingest", PRICES, "fine.csv", "--strict", code=2)
    assert "line 2, column price: '1.0000005' has more decimals" in strict.err
    assert "--round COLUMN=PLACES" in strict.err
    assert "1 value of price rounded" in commands("ingest", PRICES, "fine.csv", "--round", "price=6").out
    assert postgres(commands, f"SELECT price FROM {PRICES} ORDER BY time") == [(Decimal("1.000000"),), (Decimal(2),)]


@pytest.fixture
def filled(commands: CommandLine) -> CommandLine:
    """35 days of minute prices that ship with the package."""
    commands("ingest", PRICES, sample.path("quotes_minute"))
    return commands


def test_a_query_answers_with_what_the_store_holds(filled: CommandLine) -> None:
    bars = filled("query", PRICES, *DAY, "--bars", "1h", "-s", SYMBOL, "--json").json
    exact = postgres(
        filled,
        f"""SELECT date_bin('1 hour', time, '2000-01-01Z'), (array_agg(price ORDER BY time))[1], max(price), min(price),
            (array_agg(price ORDER BY time DESC))[1], sum(volume), count(*) FROM {PRICES}
            WHERE time >= '2022-08-20Z' AND time < '2022-08-21Z' GROUP BY 1 ORDER BY 1""",
    )
    assert len(bars) == 24
    for bar, row in zip(bars, exact, strict=True):
        assert datetime.fromisoformat(bar["bucket"]) == row[0]
        assert [Decimal(bar[name]) for name in ("open", "high", "low", "close", "volume")] == list(row[1:6])
        assert bar["count"] == row[6]
    folder = filled.folder
    filled("query", PRICES, *DAY, "--bars", "1h", "-o", "bars.csv")
    with (folder / "bars.csv").open() as file:
        assert [Decimal(row["close"]) for row in csv.DictReader(file)] == [row[4] for row in exact]
    said = filled("query", PRICES, *DAY, "-o", "raw.parquet")
    assert (said.out, said.err) == ("", "1,440 rows → raw.parquet\n")
    stored = postgres(
        filled, f"SELECT * FROM {PRICES} WHERE time >= '2022-08-20Z' AND time < '2022-08-21Z' ORDER BY time"
    )
    assert [tuple(row.values()) for row in parquet.read_table(folder / "raw.parquet").to_pylist()] == stored
    filled("query", PRICES, *DAY, "--bars", "15m", "-s", SYMBOL, "-o", "bars.png")
    picture = (folder / "bars.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.endswith(b"IEND\xaeB`\x82")
    assert sorted(path.name for path in folder.iterdir()) == ["bars.csv", "bars.png", "raw.parquet"]


def test_a_query_says_where_it_was_cut(filled: CommandLine) -> None:
    cut = filled("query", PRICES, *DAY, "--limit", "3", "--columns", "time, price")
    assert cut.err == "3 rows (the newest; --limit 3)\n"
    lines = cut.out.splitlines()
    assert lines[0].split() == ["time", "price"]
    assert [line.split()[:2] for line in lines[2:]] == [["2022-08-20", f"23:{minute}"] for minute in (57, 58, 59)]
    last = filled("query", PRICES, "--to", "2022-08-21", "--last", "2m", "--where", f"symbol={SYMBOL}", "--json").json
    assert [row["time"] for row in last] == ["2022-08-20T23:58:00Z", "2022-08-20T23:59:00Z"]
    none = filled("query", PRICES, *DAY, "-s", "nobody")
    lie = "the dataset's rows lie from 2022-07-19 00:00 to 2022-08-22 23:59 UTC"
    assert (none.out, none.err) == ("", f"0 rows (none with symbol=nobody at any time; {lie})\n")


def test_a_dry_run_is_the_real_run_and_changes_nothing(filled: CommandLine) -> None:
    rows = f"SELECT count(*) FROM {PRICES} UNION ALL SELECT count(*) FROM invest.stock_prices_5min"
    seen = postgres(filled, rows)
    for job in ("rollups", "compression", "retention", "partitions", "cleanup"):
        dry = filled("jobs", "run", job, "--as-of", "2022-08-23", "--dry-run", "--json").json
        assert postgres(filled, rows) == seen, job
        real = filled("jobs", "run", job, "--as-of", "2022-08-23", "--json").json
        assert [dry["dry_run"], real["dry_run"], real["state"]] == [True, False, "done"]
        assert [what(entry) for entry in dry["report"]] == [what(entry) for entry in real["report"]], job
        seen = postgres(filled, rows)
    assert seen == [(50390 - DROPPED,), (35 * 288,)]
    runs = filled("jobs", "history", "--json").json
    assert [run["job"] for run in runs] == ["cleanup", "partitions", "retention", "compression", "rollups"]
    retention = next(run for run in runs if run["job"] == "retention")
    assert [entry["verb"] for entry in retention["report"]].count("drop chunk") == 5
    assert filled("jobs", "history", "retention", "--json").json == [retention]
    assert (
        "not supported by plain PostgreSQL partitions"
        in filled("jobs", "run", "compression", "--as-of", "2022-08-23").out
    )
    gone = filled(
        "query", PRICES, "--from", "2022-07-19", "--to", "2022-07-20", "--bars", "5m", "--json", "--limit", "999"
    )
    assert len(gone.json) == 288, "what was dropped lives on in bars"


def what(entry: dict[str, Any]) -> tuple[str, ...]:
    """What was, or would be, done to what: how many rows a refresh makes is not known before."""
    return tuple(entry.get(key, "") for key in ("verb", "target", "detail", "reason"))


def test_a_destructive_job_of_a_moment_to_come_is_refused(filled: CommandLine) -> None:
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%MZ}"
    for job in ("retention", "cleanup"):
        refused = filled("jobs", "run", job, "--as-of", tomorrow, "--json", code=4).error
        assert (refused["error"], refused["target"]) == ("AheadOfClockError", job)
        assert "--dry-run" in refused["hint"]
    assert postgres(filled, f"SELECT count(*) FROM {PRICES}") == [(50390,)]
    ahead = filled("jobs", "run", "retention", "--as-of", tomorrow, "--dry-run", "--json").json
    assert [entry["verb"] for entry in ahead["report"]].count("drop chunk") >= 35, "and of the rollups"


def test_each_store_is_backed_up_listed_and_checked(commands: CommandLine) -> None:
    commands("migrate")
    assert commands("backup", "list").out == "no backup yet; `storekeeper backup now postgres` makes one\n"
    moment = ("--as-of", "2024-06-01T12:00:01Z")
    for store in ("postgres", "mongo", "redis"):
        foreseen = commands("backup", "now", store, *moment, "--dry-run", "--json").json
        made = commands("backup", "now", store, *moment, "--json").json
        assert [e["target"] for e in foreseen["report"]] == [e["target"] for e in made["report"]]
    shared = commands("backup", "now", "timescale", *moment)
    assert "of postgres and timescale is there already" in shared.out
    listed = commands("backup", "list", "--json").json
    assert [(b["server"], b["label"], b["problem"]) for b in listed] == [
        (server, "20240601T120001Z-full", None) for server in ("mongo", "postgres", "redis")
    ]
    for backup in listed:
        checked = commands("backup", "check", backup["server"], backup["label"], "--json").json
        assert checked["bytes"] == backup["bytes"] > 0
    (damaged,) = Path(commands.settings["STOREKEEPER_BACKUPS"]).glob("redis/*/**/*.rdb")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    refused = commands("backup", "check", "redis", "20240601T120001Z-full", code=7)
    assert damaged.name in refused.err
    table = commands("backup", "list").out
    assert table.count("never restored: unverified") == 3


def test_status_tells_machines_all_that_it_tells_people(filled: CommandLine) -> None:
    filled("migrate")
    filled("jobs", "run", "rollups", "--as-of", "2022-08-23")
    found = filled("status", "--json").json
    assert [(s["store"], s["ok"]) for s in found["stores"]] == [
        (store, True) for store in ("postgres", "timescale", "mongo", "redis")
    ]
    assert (found["engine"], found["columnstore"]) == ("plain PostgreSQL partitions", False)
    assert found["servers"] == [], "given by URL, they are nobody's children"
    sizes = {level["dataset"]: level for level in found["datasets"]}
    assert sizes[PRICES]["chunks"] == 35
    assert sizes["invest.stock_prices_5min"]["rollup_of"] == PRICES
    collections = ["deals.model_metrics", "invest.logs", "invest.analytics", "invest.ml_results"]
    assert [c["dataset"] for c in found["collections"]] == collections
    jobs = {job["name"]: job for job in found["jobs"]}
    assert (jobs["rollups"]["state"], jobs["retention"]["state"]) == ("done", None)
    by_hand = {name for name, job in jobs.items() if job["next"] is None}
    assert by_hand == {"reseal"}
    assert all(datetime.fromisoformat(job["next"]) > datetime.now(UTC) for job in jobs.values() if job["next"])
    shown = filled("status").out
    for name in (*sizes, *jobs, "invest.logs", "columnstore: not supported"):
        assert name in shown


def test_logs_are_queried_as_documents(commands: CommandLine) -> None:
    from storekeeper import connect

    commands("migrate")
    urls = commands.settings
    now = datetime.now(UTC).replace(microsecond=0)
    with connect(
        stores=("mongo",),
        mongo_url=urls["STOREKEEPER_MONGO_URL"],
        mongo_database=urls["STOREKEEPER_MONGO_DATABASE"],
    ) as platform:
        platform.mongo.insert(
            "invest.logs",
            [
                {
                    "timestamp": now - timedelta(minutes=minute),
                    "level": level,
                    "service": "api",
                    "message": f"m{minute}",
                }
                for minute, level in ((2, "error"), (1, "info"))
            ],
        )
    columns = ("--columns", "timestamp,level,message")
    shown = commands("query", "invest.logs", "--last", "1h", *columns).out.splitlines()
    assert [line.split()[-2:] for line in shown[2:]] == [["error", "m2"], ["info", "m1"]]
    errors = commands("query", "invest.logs", "--last", "1h", "--where", "level=error", "--json").json
    assert [document["message"] for document in errors] == ["m2"]
