"""Rules that the server keeps, broken by rows of files: each broken row is one reject, every other one is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from row_files import count, counts, ingested, opened, rejects_of, stored
from storekeeper.errors import CheckError, DeclarationError, InputError, StorekeeperError
from storekeeper.ingest.readers import csv_input
from storekeeper.ingest.rows import sink
from storekeeper.platform import Platform

Write = Callable[..., Path]
REJECTS = Path("rows.csv.rejects.csv")
THINGS = "lab.things"


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with opened(migrated_url) as platform:
        execute(platform, "INSERT INTO lab.makers VALUES (1), (2)")
        yield platform


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def written(*lines: str) -> Path:
        file = tmp_path / "rows.csv"
        file.write_text("".join(f"{line}\n" for line in lines))
        return file

    return written


@pytest.fixture(params=[131_072, 1], ids=["one piece", "a row a piece"])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many rows a piece has."""
    monkeypatch.setattr(csv_input, "PIECE_ROWS", request.param)
    return int(request.param)


def execute(platform: Platform, statement: str) -> None:
    with platform.postgres.begin() as connection:
        connection.execute(sa.text(statement))


def reasons() -> dict[int, str]:
    return {place: reason for place, _, reason, _ in rejects_of(REJECTS)} if REJECTS.exists() else {}


HEADER = "id,maker,Name,shelf,place,first,low,high,price,note,any"
#: (row, what its reject says; nothing where it is taken)
BROKEN: list[tuple[str, str]] = [
    ("1,1,one,1,1,t,2,3,1.50,,1.5", ""),
    ("2,3,two,1,2,,,,,,", "lab.makers has no row of this"),
    ("3,,three,1,3,,5,4,,,", "breaks check_low_high"),
    ("4,,ONE,1,4,,,,2,,", "stands in an earlier row"),
    ("5,,ONE,1,5,,,,0,,", ""),  # the index is on prices above nothing
    ("6,1,six,1,6,t,,,,,", "stands in an earlier row"),
    ("7,1,seven,1,7,f,,,,,", ""),
    ("8,,eight,1,,,,,,,", ""),
    ("9,,nine,1,,,,,,,", "stands in an earlier row"),  # nulls are alike
    ("10,,ten,2,1,,,,9000000,,", ""),
    ("11,2,trigger,2,2,,,,,,", "not this name"),
    ("12,2,twelve,2,3,,,,,,-1e30", ""),
    ("12,2,twice,2,4,,,,,,", "stands in an earlier row"),
    ("13,,,2,5,,1,,,,", "breaks check_quotient"),
    ('14,,,2,6,,1,,,"{""a:b"": ""x""}",', ""),
    ("15,,toolongname,2,7,,,,,,", "VARCHAR(8) holds 8"),
    ('16,,,2,8,,,,,"{a}",', "is no JSON"),
    ("17,,last,2,9,,,,1,,NaN", "is no finite number"),
]


def test_every_broken_row_is_a_reject_and_every_other_one_is_taken(
    platform: Platform, write: Write, piece: int
) -> None:
    file = write(HEADER, *(row for row, _ in BROKEN))
    result = ingested(platform, THINGS, file)
    wanted = {line: said for line, (_, said) in enumerate(BROKEN, 2) if said}
    found = reasons()
    assert found.keys() == wanted.keys()
    for line, said in wanted.items():
        # of a row in another piece the server says that it is there
        assert said in found[line] or ("earlier row" in said and "is there already" in found[line]), (line, found[line])
    assert [row for *_, row in rejects_of(REJECTS)] == [row for row, said in BROKEN if said]
    assert counts(result) == (len(BROKEN) - len(wanted), 0, 0, 0, len(wanted))
    ids = [row.partition(",")[0] for row, said in BROKEN if not said]
    assert stored(platform, f"SELECT id::text FROM {THINGS} ORDER BY things.id") == [(id_,) for id_ in ids]


def test_what_is_broken_stands_in_nobodys_way(platform: Platform, write: Write, piece: int) -> None:
    """A row that repeats a key of one which is refused itself is taken."""
    file = write("id,low,high,shelf", "1,3,2,1", "1,2,3,2", "2,2,3,3", "2,3,3,4", "3,70,80,5")
    assert counts(ingested(platform, THINGS, file, dry_run=True)) == (3, 0, 0, 0, 2)
    assert counts(ingested(platform, THINGS, file)) == (3, 0, 0, 0, 2)
    assert stored(platform, f"SELECT id, low FROM {THINGS} ORDER BY id") == [(1, 2), (2, 2), (3, 70)]


def test_a_check_that_fails_itself_blames_its_row(platform: Platform, write: Write) -> None:
    file = write("id,low,shelf", "1,0,1", "2,2,2", "3,1,3")
    assert counts(ingested(platform, THINGS, file)) == (1, 0, 0, 0, 2)
    assert "division by zero" in reasons()[2]
    assert "check_quotient" in reasons()[4]


def test_a_computed_column_that_overflows(platform: Platform, write: Write) -> None:
    file = write("id,price,shelf", "1,1.50,1", "2,9999999.99,2", "3,2.50,3")
    execute(platform, f"ALTER TABLE {THINGS} ALTER COLUMN cents SET EXPRESSION AS (price * 10000)")
    assert counts(ingested(platform, THINGS, file)) == (2, 0, 0, 0, 1)
    assert "integer out of range" in reasons()[3]
    assert stored(platform, f"SELECT id, cents FROM {THINGS} ORDER BY id") == [(1, 15_000), (3, 25_000)]


def test_too_many_rows_that_only_trying_finds_are_one_error(
    platform: Platform, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "_MOST_TRIED", 5)
    rows = [f"{n},trigger,{n}" for n in range(20)]
    with pytest.raises(StorekeeperError, match="not this name"):
        ingested(platform, THINGS, write("id,Name,shelf", "100,good,100", *rows))
    assert count(platform, THINGS) == 0
    assert not REJECTS.exists()


def test_strict_says_which_row(platform: Platform, write: Write) -> None:
    file = write("id,low,high,shelf", "1,2,2,1", "2,2,3,2", "3,3,2,3", "4,1,2,4")
    with pytest.raises(InputError, match="line 4: breaks check_low_high"):
        ingested(platform, THINGS, file, strict=True)
    assert count(platform, THINGS) == 0
    assert not REJECTS.exists()


def test_computed_columns_and_lists_are_refused(platform: Platform, write: Write) -> None:
    with pytest.raises(InputError, match="'cents' is none of the dataset's"):
        ingested(platform, THINGS, write("id,cents", "1,1"))
    with pytest.raises(DeclarationError, match="COPY does not carry the type"):
        ingested(platform, "lab.lists", write("id", "1"))


def test_a_key_that_the_server_gives(platform: Platform, write: Write) -> None:
    file = write("text", "a", "b", "a")
    assert counts(ingested(platform, "lab.notes", file, dry_run=True)) == (3, 0, 0, 0, 0)
    assert counts(ingested(platform, "lab.notes", file)) == (3, 0, 0, 0, 0)
    assert stored(platform, "SELECT text FROM lab.notes ORDER BY id") == [("a",), ("b",), ("a",)]
    for options in ({"on_conflict": "skip"}, {"on_conflict": "update"}, {"version": "text"}):
        with pytest.raises(InputError, match=r"goes by the key \(id\) of a row, and there is nothing for id"):
            ingested(platform, "lab.notes", file, again=True, **options)
    assert count(platform, "lab.notes") == 3
    named = write("id,text", "1,A", "9,c")
    assert counts(ingested(platform, "lab.notes", named, on_conflict="update")) == (1, 1, 0, 0, 0)


def test_a_table_without_a_key_takes_everything(platform: Platform, write: Write) -> None:
    file = write("a,b", "x,1", "x,1", "y,NaN", "z,-inf", "z,1e400x")
    assert counts(ingested(platform, "lab.bare", file, dry_run=True)) == (4, 0, 0, 0, 1)
    assert counts(ingested(platform, "lab.bare", file)) == (4, 0, 0, 0, 1)
    for options in ({"on_conflict": "skip"}, {"version": "b"}):
        with pytest.raises(InputError, match="goes by the key of a row, and it has none"):
            ingested(platform, "lab.bare", file, again=True, **options)


@pytest.mark.parametrize("dry", [True, False])
def test_of_rows_with_one_key_other_unique_columns_are_their_own(
    platform: Platform, write: Write, dry: bool, piece: int
) -> None:
    """A row that is there does not clash with the row that takes its place."""
    execute(platform, f"INSERT INTO {THINGS} (id, \"Name\", price, shelf, place) VALUES (1, 'one', 1, 1, 1)")
    # the key of 1, with its own name; 2 wants the name of 1; 3 comes twice
    file = write("id,Name,price,shelf,place", "1,ONE,2,1,1", "2,One,3,1,2", "3,three,3,1,3", "3,THREE,4,1,3")
    update = ingested(platform, THINGS, file, on_conflict="update", dry_run=dry)
    assert counts(update) == (1, 2, 0, 0, 1)
    if dry:
        assert stored(platform, f"SELECT count(*), max(price)::int FROM {THINGS}") == [(1, 1)]
    else:
        rows = stored(platform, f'SELECT id, "Name", price::int FROM {THINGS} ORDER BY id')
        assert rows == [(1, "ONE", 2), (3, "THREE", 4)]
    skip = ingested(platform, THINGS, file, on_conflict="skip", again=True, dry_run=dry)
    assert counts(skip) == ((1, 0, 2, 0, 1) if dry else (0, 0, 3, 0, 1))


def test_versions_of_a_row_share_its_unique_columns(platform: Platform, write: Write, piece: int) -> None:
    file = write("id,Name,price,shelf,place,v", "1,one,1,1,1,1", "1,ONE,2,1,1,2", "2,One,3,1,2,1", "2,two,3,1,2,0")
    for dry_run in (True, False):
        result = ingested(platform, THINGS, file, version="v", dry_run=dry_run)
        assert counts(result) == (1, 0, 0, 2, 1)
    assert stored(platform, f'SELECT id, "Name" FROM {THINGS}') == [(1, "ONE")]


def test_json_that_is_kept_as_text_can_be_updated(platform: Platform, write: Write) -> None:
    ingested(platform, THINGS, write("id,raw,shelf", '1,"{""a"": 1}",1', '2,"[1]",2'))
    file = write("id,raw,shelf", '1,"{""a"":1}",1', '2,"[1]",2')
    for dry_run in (True, False):
        assert counts(ingested(platform, THINGS, file, on_conflict="update", dry_run=dry_run)) == (0, 1, 1, 0, 0)
    assert stored(platform, f"SELECT raw::text FROM {THINGS} ORDER BY id") == [('{"a":1}',), ("[1]",)]


def test_a_table_of_keys_alone(platform: Platform, write: Write) -> None:
    file = write("id", "1", "2", "3", "3")
    for outcome in ("update", "skip"):
        for dry_run in (True, False):
            result = ingested(platform, "lab.makers", file, on_conflict=outcome, dry_run=dry_run, again=True)
            assert counts(result) == ((1, 0, 3, 0, 0) if outcome == "update" else (0, 0, 4, 0, 0))


UUID = "00000000-0000-0000-0000-00000000000"


def test_users_portfolios_and_their_transactions(platform: Platform, write: Write, piece: int) -> None:
    header = "id,email,password_hash,first_name,last_name,preferences"
    ada = f'{UUID}1,ada@example.org,x,Ada,"Lovelace, Countess","{{""a"": 1}}"'
    users = write(
        header,
        ada,
        ada.replace("0001,ada", "0002,ADA"),
        ada.replace("0001,ada@example.org", "0003,nobody"),
        ada.replace("0001,ada", "0004,bob"),
    )
    assert counts(ingested(platform, "invest.users", users)) == (2, 0, 0, 0, 2)
    assert list(reasons()) == [3, 4]
    assert "lower((email)::text)" in reasons()[3].replace("email::text", "(email)::text")
    assert "check_email_format" in reasons()[4]
    REJECTS.unlink()
    assert stored(
        platform, "SELECT last_name, preferences, subscription_tier FROM invest.users WHERE id::text LIKE '%1'"
    ) == [("Lovelace, Countess", {"a": 1}, "free")]

    portfolios = write(
        "id,user_id,name,is_default", f"{UUID}5,{UUID}1,a,t", f"{UUID}6,{UUID}1,b,t", f"{UUID}7,{UUID}1,c,f",
        f"{UUID}8,{UUID}9,d,t",
    )  # fmt: skip
    assert counts(ingested(platform, "invest.portfolios", portfolios)) == (2, 0, 0, 0, 2)
    assert "(user_id, is_default)" in reasons()[3]
    assert "invest.users has no row" in reasons()[5]
    REJECTS.unlink()

    transactions = write(
        "id,portfolio_id,symbol,transaction_type,shares,price,transaction_date",
        *(f"{UUID}{n},{UUID}5,A,buy,{n},1.5,20{10 + n}-03-01T00:00:00Z" for n in range(1, 9)),
        f"{UUID}9,{UUID}5,A,buy,999999999,999999999999,2011-03-01T00:00:00Z",
        f"{UUID}9,{UUID}5,A,gift,1,1,2031-03-01T00:00:00Z",
        f"{UUID}9,{UUID}9,A,buy,1,1,2030-03-01T00:00:00Z",
        f"{UUID}9,{UUID}5,A,buy,1,1,1999-03-01T00:00:00Z",
    )
    assert counts(ingested(platform, "invest.transactions", transactions)) == (9, 0, 0, 0, 3)
    assert list(reasons()) == [10, 11, 12]
    assert "numeric field overflow" in reasons()[10]
    years = stored(platform, "SELECT extract(year FROM transaction_date)::int FROM invest.transactions ORDER BY 1")
    assert [year for (year,) in years] == [1999, *range(2011, 2019)]
    again = ingested(platform, "invest.transactions", transactions, on_conflict="skip", again=True)
    assert counts(again) == (0, 0, 9, 0, 3)


def test_insights_and_alerts(platform: Platform, write: Write) -> None:
    header = "insight_type,title,description,confidence,metadata"
    insights = write(
        header, "bullish,t,d,100,{}", "bullish,t,d,100.01,{}", 'hopeful,t,d,1,"{""a"": NaN}"', "market,t,d,1,"
    )
    assert counts(ingested(platform, "invest.ai_insights", insights)) == (1, 0, 0, 0, 3)
    assert "check_confidence" in reasons()[3]
    assert "has NaN, which is no JSON" in reasons()[4]
    assert "is missing" in reasons()[5]
    alerts = write("user_id,symbol,alert_type,target_price,condition", f"{UUID}1,A,price,1,above", "x,A,price,1,above")
    assert counts(ingested(platform, "invest.price_alerts", alerts)) == (0, 0, 0, 0, 2)


def test_rows_below_the_watermark(platform: Platform, write: Write, piece: int) -> None:
    header = "time,symbol,price,volume"
    old, new = "2014-03-01T00:00:00Z,A,1,1", "2014-05-31T00:00:00Z,A,1,1"
    ingested(platform, "invest.intraday_prices", write(header, old, new))
    moment = datetime(2014, 6, 1, tzinfo=UTC)
    dropped = platform.timescale.drop_chunks("invest.intraday_prices", as_of=moment)
    assert sum(len(level.chunks) for level in dropped) == 1
    file = write(header, old.replace("A", "B"), new.replace("A", "B"), old.replace("A", "C"))
    for options in ({"dry_run": True}, {"version": "symbol", "dry_run": True}, {}):
        arguments: dict[str, Any] = options
        assert counts(ingested(platform, "invest.intraday_prices", file, **arguments)) == (1, 0, 0, 0, 2)
    assert set(reasons()) == {2, 4}
    assert all("are gone" in reason for reason in reasons().values())


def test_a_check_is_said_once_for_a_table_and_its_rows(platform: Platform, write: Write) -> None:
    file = write("time,symbol,price,volume", "2014-05-01T00:00:00Z,A,-1,1", "2014-05-01T00:00:00Z,A,2,1")
    assert counts(ingested(platform, "invest.intraday_prices", file)) == (1, 0, 0, 0, 1)
    assert "check_price_positive" in reasons()[2]
    with pytest.raises(CheckError):
        execute(platform, "UPDATE invest.intraday_prices SET price = -1")


def test_versions_of_rows_that_only_trying_finds(platform: Platform, write: Write) -> None:
    """They wait in the server until the end: those that a trigger refuses are found there, the others go in."""
    rows = [f"{n},{'trigger' if n % 5 == 0 else f'n{n}'},{n},{version}" for n in range(1, 21) for version in (1, 2)]
    file = write("id,Name,shelf,version", *rows)
    result = ingested(platform, THINGS, file, version="version")
    assert counts(result) == (16, 0, 0, 20, 4)
    rejects = rejects_of(file.with_name(f"{file.name}.rejects.csv"))
    assert [(place, reason) for place, _, reason, _ in rejects] == [
        (n * 2 + 1, "not this name") for n in (5, 10, 15, 20)
    ]
    assert stored(platform, "SELECT count(*) FROM lab.things") == [(16,)]


def test_versions_are_numbers_with_exponents_too(platform: Platform, write: Write) -> None:
    file = write("id,Name,version", "1,old,9.5", "1,new,1e+17", "1,less,-2E3")
    assert counts(ingested(platform, THINGS, file, version="version")) == (1, 0, 0, 2, 0)
    assert stored(platform, 'SELECT "Name" FROM lab.things') == [("new",)]


@pytest.mark.parametrize("dataset", ["invest.intraday_prices", "invest.user_activity_log"])
def test_times_that_no_chunk_holds(platform: Platform, write: Write, dataset: str) -> None:
    """The years of calendars' ends and of typing errors: each is said, and stands in no later row's way."""
    header, row = {
        "invest.intraday_prices": ("time,symbol,price,volume", "{},A,1,1"),
        "invest.user_activity_log": ("created_at,activity_type", "{},login"),
    }[dataset]
    years = ("0001", "9999", "9998", "0005", "0031", "2001", "0201")
    file = write(header, *(row.format(f"{year}-06-01T00:00:00Z") for year in years))
    result = ingested(platform, dataset, file)
    assert counts(result) == (4, 0, 0, 0, 3)
    assert [reject.place for reject in result.files[0].first] == [2, 3, 4]
    assert {reject.reason for reject in result.files[0].first} == {
        "no chunk or partition holds a time outside of the years 2 to 9997"
    }
    time = header.partition(",")[0]
    found = stored(platform, f"SELECT date_part('year', {time} AT TIME ZONE 'UTC') FROM {dataset} ORDER BY 1")
    assert found == [(5,), (31,), (201,), (2001,)]


def test_one_content_twice_in_a_unit(platform: Platform, write: Write) -> None:
    one = write("id,version", "1,1")
    two = one.with_name("two.csv")
    two.write_bytes(one.read_bytes())
    with pytest.raises(InputError, match="has the same content as a file before it"):
        ingested(platform, THINGS, one, two, version="version")
    with pytest.raises(InputError, match="for the rejects of several"):
        ingested(platform, THINGS, one, two, version="version", rejects=one.with_name("rejects.csv"))
    assert stored(platform, "SELECT count(*) FROM lab.things") == [(0,)]
