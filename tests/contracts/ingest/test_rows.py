"""Files of rows into real stores: of every kind and packing, whole, exact, or not at all."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from row_files import (
    as_csv,
    as_ndjson,
    as_parquet,
    count,
    counts,
    fields_of,
    ingested,
    opened,
    packed,
    rejects_of,
    stored,
)
from storekeeper.errors import (
    ColumnError,
    DeclarationError,
    InputError,
    InputFileError,
    NaiveTimeError,
    StorekeeperError,
)
from storekeeper.ingest.options import OnConflict
from storekeeper.ingest.progress import Progress
from storekeeper.ingest.readers import csv_input
from storekeeper.ingest.readers.files import Source
from storekeeper.ingest.readers.text_input import Stdin
from storekeeper.platform import Platform
from storekeeper.sample import path as sample_path

INTRADAY, STOCKS, USERS = "invest.intraday_prices", "invest.stock_prices", "invest.users"
HEADER = "time,symbol,price,volume,bid,ask"
GOOD = "2014-05-01T05:00:00Z,EURUSD,1.38727,3,,1.38729"
ROWS: list[dict[str, str | None]] = [
    {"time": "2014-05-01T05:00:00Z", "symbol": "EURUSD", "price": "1.38727", "volume": "3", "bid": None},
    {"time": "2014-05-02T05:00:00.787+02:00", "symbol": 'a "b",\nc', "price": "0.000001", "volume": "0", "bid": "1"},
    {"time": "2014-05-01T05:00:00Z", "symbol": "ΩΩΩ", "price": "123456789012.123456", "volume": "1e-8", "bid": "1.50"},
]
STORED = [
    (datetime(2014, 5, 1, 5, tzinfo=UTC), "EURUSD", Decimal("1.387270"), Decimal("3.00000000"), None),
    (datetime(2014, 5, 1, 5, tzinfo=UTC), "ΩΩΩ", Decimal("123456789012.123456"), Decimal("0.00000001"), Decimal("1.5")),
    (datetime(2014, 5, 2, 3, 0, 0, 787_000, tzinfo=UTC), 'a "b",\nc', Decimal("0.000001"), Decimal(0), Decimal(1)),
]

Write = Callable[..., Path]


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with opened(migrated_url) as platform:
        yield platform


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file of these lines into the working directory, which is the test's own."""
    monkeypatch.chdir(tmp_path)

    def written(*lines: str, name: str = "quotes.csv", content: bytes | None = None) -> Path:
        file = tmp_path / name
        file.write_bytes("".join(f"{line}\n" for line in lines).encode() if content is None else content)
        return file

    return written


def prices(platform: Platform) -> list[tuple[Any, ...]]:
    return stored(
        platform, f'SELECT time, symbol, price, volume, bid FROM {INTRADAY} ORDER BY time, symbol COLLATE "C"'
    )


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_files_of_every_kind_and_packing(platform: Platform, write: Write, kind: str, packing: str) -> None:
    content = {"csv": as_csv, "ndjson": as_ndjson, "parquet": as_parquet}[kind](ROWS)
    file = write(name=f"quotes.{kind}{packing}", content=packed(content, packing))
    seen: list[Progress] = []
    result = ingested(platform, INTRADAY, file, progress=seen.append)
    assert counts(result) == (3, 0, 0, 0, 0)
    assert prices(platform) == STORED
    assert seen[-1].rows == 3
    assert seen[-1].bytes_total == file.stat().st_size
    assert not list(file.parent.glob("*rejects*"))
    # by its content, whatever its name and packing
    for other in ("", ".gz", ".zst"):
        if kind != "parquet" or other == packing:
            same = write(name=f"other.{kind}{other}", content=packed(content, other))
            with pytest.raises(InputError, match=rf"was ingested at .*, from {file.name}: 3 rows"):
                ingested(platform, INTRADAY, same, on_conflict="skip")
    piped = Stdin(io.BytesIO(packed(content, packing)))
    with pytest.raises(InputError, match="was ingested"):
        ingested(platform, INTRADAY, piped, form=kind)
    assert prices(platform) == STORED


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_standard_input(platform: Platform, write: Write, kind: str) -> None:
    content = {"csv": as_csv, "ndjson": as_ndjson, "parquet": as_parquet}[kind]
    bad = {**ROWS[0], "price": "none"}
    result = ingested(platform, INTRADAY, Stdin(io.BytesIO(content([*ROWS, bad]))), form=kind)
    assert counts(result) == (3, 0, 0, 0, 1)
    assert prices(platform) == STORED
    [(_, column, reason, _)] = rejects_of(Path("stdin.rejects.csv"))
    assert (column, reason) == ("price", "'none' is not a number")


def test_a_named_pipe_is_read_once(platform: Platform, write: Write, tmp_path: Path) -> None:
    write()
    pipe = tmp_path / "quotes.csv"
    pipe.unlink()
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(as_csv(ROWS),))
    writer.start()
    assert counts(ingested(platform, INTRADAY, pipe)) == (3, 0, 0, 0, 0)
    writer.join()


def test_typed_columns_of_parquet_are_exact(platform: Platform, write: Write) -> None:
    out = io.BytesIO()
    table = pa.table(
        {
            "time": pa.array([1_398_902_400, 1_398_902_401], pa.timestamp("s")).cast(pa.timestamp("ns")),
            "symbol": pa.array(["A", "B"]).dictionary_encode(),
            "price": pa.array([0.1, 2.5], pa.float64()),
            "volume": pa.array([1, 2], pa.int16()),
            "bid": pa.array([Decimal("1.25"), None], pa.decimal128(5, 2)),
        }
    )
    pq.write_table(table, out)
    file = write(name="typed.parquet", content=out.getvalue())
    with pytest.raises(NaiveTimeError, match="row 1, column time"):
        ingested(platform, INTRADAY, file)
    assert counts(ingested(platform, INTRADAY, file, zone="Europe/Paris")) == (2, 0, 0, 0, 0)
    midnight = datetime(2014, 4, 30, 22, tzinfo=UTC)
    assert prices(platform) == [
        (midnight, "A", Decimal("0.1"), Decimal(1), Decimal("1.25")),
        (midnight + timedelta(seconds=1), "B", Decimal("2.5"), Decimal(2), None),
    ]


def test_columns_are_mapped_put_together_halved_and_set(platform: Platform, write: Write) -> None:
    file = write(
        "ts_utc,market,symbol,bid,ask,flag",
        "2014-05-01T05:00:01.787Z,fxcm,EURUSD,1.38727,1.38730,x",
        '2014-05-02T05:00:01+02:00,"fx""cm",EURUSD,"1.1","",x',
    )
    maps = ["time=ts_utc", "symbol={symbol}@{market}", "price=mid(ask,bid)"]
    result = ingested(platform, INTRADAY, file, maps=maps, sets=["volume=0.5"])
    assert counts(result) == (1, 0, 0, 0, 1)
    assert prices(platform) == [
        (
            datetime(2014, 5, 1, 5, 0, 1, 787_000, tzinfo=UTC),
            "EURUSD@fxcm",
            Decimal("1.387285"),
            Decimal("0.5"),
            Decimal("1.38727"),
        )
    ]
    [(place, column, reason, row)] = rejects_of(Path("quotes.csv.rejects.csv"))
    assert (place, column, reason) == (3, "price", "a value is missing: the column is NOT NULL")
    assert fields_of(row) == ["2014-05-02T05:00:01+02:00", 'fx"cm', "EURUSD", "1.1", "", "x"]


def test_times_by_a_format_without_a_zone_and_what_is_rounded(platform: Platform, write: Write) -> None:
    file = write(
        "Date,Ticker,Adj Close,Open,High,Low,Close,Volume",
        "7/1/2014,AAPL,4.1866628138,1,2,1,2,9616100.0",
        "2/30/2014,AAPL,4,1,2,1,2,1",
        "3/30/2014,A,0.0000005,1,2,1,2,1",
        "3/31/2014,A,0.0000015,1,2,1,2,1",
    )
    maps = [
        f"{column}={source}"
        for column, source in {
            "time": "Date",
            "symbol": "Ticker",
            "adjusted_close": "Adj Close",
            "open": "Open",
            "high": "High",
            "low": "Low",
            "close": "Close",
            "volume": "Volume",
        }.items()
    ]
    options: dict[str, Any] = {"maps": maps, "time_format": "%m/%d/%Y"}
    with pytest.raises(NaiveTimeError, match="line 2, column time"):
        ingested(platform, STOCKS, file, **options)
    options["zone"] = "America/New_York"
    strict = {**options, "strict": True}
    with pytest.raises(InputError, match=r"line 2, column adjusted_close: '4\.1866628138' has more decimals"):
        ingested(platform, STOCKS, file, **strict)
    result = ingested(platform, STOCKS, file, round_to={"adjusted_close": 6}, **options)
    assert counts(result) == (3, 0, 0, 0, 1)
    assert dict(result.rounded) == {"adjusted_close": 3}
    rows = stored(platform, f"SELECT time, adjusted_close, volume FROM {STOCKS} ORDER BY time")
    assert rows == [
        (datetime(2014, 3, 30, 4, tzinfo=UTC), Decimal("0.000000"), 1),
        (datetime(2014, 3, 31, 4, tzinfo=UTC), Decimal("0.000002"), 1),
        (datetime(2014, 7, 1, 4, tzinfo=UTC), Decimal("4.186663"), 9_616_100),
    ]
    assert [reject[:3] for reject in rejects_of(Path("quotes.csv.rejects.csv"))] == [
        (3, "time", "'2/30/2014' is no time as %m/%d/%Y writes it")
    ]


@pytest.mark.parametrize(
    ("lines", "options", "error", "says"),
    [
        (
            [HEADER, GOOD.replace("Z", ""), GOOD],
            {},
            NaiveTimeError,
            "line 2, column time: '2014-05-01T05:00:00' has no",
        ),
        ([HEADER, GOOD, '"' + GOOD], {}, InputFileError, "the quote that is opened on line 3 is not closed"),
        ([HEADER + ",venue", GOOD + ",x"], {}, ColumnError, "'venue'"),
        ([HEADER + ",bid", GOOD + ",1"], {}, ColumnError, "the header names 'bid' twice"),
        (["time,symbol,price", GOOD], {}, ColumnError, "column volume is missing"),
        ([], {}, InputFileError, "is empty"),
        ([HEADER, GOOD], {"sets": ["volume=much"]}, InputError, "what is set, column volume: 'much' is not a number"),
        ([HEADER, GOOD], {"sets": ["time=2014-05-01"]}, NaiveTimeError, "what is set, column time"),
        ([HEADER, GOOD], {"maps": ["price=cost"]}, ColumnError, "the file has no column cost"),
        ([HEADER, GOOD], {"maps": ["cost=price"]}, ColumnError, "no column cost"),
        ([HEADER, GOOD], {"version": "seq"}, ColumnError, "the file has no column seq"),
        ([HEADER, GOOD], {"round_to": {"symbol": 2}}, InputError, "symbol is no NUMERIC column"),
        ([HEADER, GOOD], {"round_to": {"price": 7}}, InputError, "it cannot be rounded to 7 decimals"),
        ([HEADER, GOOD], {"form": "parquet"}, InputFileError, "parquet"),
    ],
)
def test_what_is_wrong_with_a_file_as_a_whole_leaves_nothing(
    platform: Platform,
    write: Write,
    lines: list[str],
    options: dict[str, Any],
    error: type[StorekeeperError],
    says: str,
) -> None:
    for dry_run in (True, False):
        with pytest.raises(error) as caught:
            ingested(platform, INTRADAY, write(*lines), dry_run=dry_run, **options)
        assert says in str(caught.value)
        assert str(caught.value).startswith("ingest quotes.csv into invest.intraday_prices: ")
    assert count(platform, INTRADAY) == 0
    assert [file.name for file in Path().iterdir()] == ["quotes.csv"]


def test_no_such_zone(platform: Platform, write: Write) -> None:
    with pytest.raises(InputError, match="no time zone is called 'Mars/Olympus'"):
        ingested(platform, INTRADAY, write(HEADER), zone="Mars/Olympus")


def test_a_file_for_which_nothing_is_taken_is_refused(platform: Platform, write: Write) -> None:
    with pytest.raises(ColumnError, match="none of the file's columns is one of the dataset's"):
        ingested(platform, "lab.bare", write("c,d", "1,2"), skip_unknown=True)


def test_no_such_dataset(platform: Platform, write: Write) -> None:
    with pytest.raises(DeclarationError, match="no such dataset"):
        ingested(platform, "invest.user", write(HEADER))


BAD = {
    "price": ["NaN", "inf", "-Infinity", "1e13", "1.2345678", "abc", "", "0x10", "1,5"],
    "symbol": ["", "E" * 33],
    "time": ["2014-05-01T05:00:00", "2014-13-01T00:00:00Z", "", "2014-05-01T05:00:00.0000001Z"],
}


@pytest.mark.parametrize("strict", [False, True])
def test_rows_that_do_not_fit_are_rejects(platform: Platform, write: Write, strict: bool) -> None:
    good = dict(zip(HEADER.split(","), GOOD.split(","), strict=True))
    bad = [(column, {**good, column: value}) for column, values in BAD.items() for value in values]
    rows = [good, *(row for _, row in bad)]
    lines = [",".join(f'"{text}"' if "," in text else text for text in row.values()) for row in rows]
    file = write(HEADER, *lines, GOOD + ",1", "EURUSD")
    if strict:
        with pytest.raises(InputError, match=r"line 18 has|line 3, column price: 'NaN' is no finite number"):
            ingested(platform, INTRADAY, file, strict=True)
        assert count(platform, INTRADAY) == 0
        assert not list(file.parent.glob("*rejects*"))
        return
    result = ingested(platform, INTRADAY, file)
    assert counts(result) == (1, 0, 0, 0, len(bad) + 2)
    rejects = rejects_of(Path("quotes.csv.rejects.csv"))
    assert [place for place, *_ in rejects] == list(range(3, 3 + len(bad) + 2))
    assert [column for _, column, *_ in rejects] == [*(column for column, _ in bad), "", ""]
    assert [fields_of(row) for *_, row in rejects[:-2]] == [list(row.values()) for _, row in bad]
    assert result.files[0].rejects is not None
    assert result.files[0].rejects.samefile("quotes.csv.rejects.csv")
    assert len(result.files[0].first) == 5


def test_reject_files_never_take_the_place_of_others(platform: Platform, write: Write, tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "q.csv").write_text(f"{HEADER}\nbad{number}\n")
    write()
    files: list[Source] = [tmp_path / "1/q.csv", tmp_path / "2/q.csv"]
    result = ingested(platform, INTRADAY, *files, rejects=tmp_path / "1")
    assert [file.rejects and file.rejects.name for file in result.files] == ["q.csv.rejects.csv", "q.csv.rejects.2.csv"]
    ingested(platform, INTRADAY, files[0], rejects=tmp_path / "1")
    written = {path.name: rejects_of(path)[0][3] for path in (tmp_path / "1").glob("*rejects*")}
    assert written == {"q.csv.rejects.csv": "bad1", "q.csv.rejects.2.csv": "bad2", "q.csv.rejects.3.csv": "bad1"}
    with pytest.raises(InputError, match="is the file that is ingested"):
        ingested(platform, INTRADAY, files[0], rejects=tmp_path / "2/../1/q.csv")
    with pytest.raises(InputError, match="No such file or directory"):
        ingested(platform, INTRADAY, files[0], rejects=tmp_path / "3/rejects.csv")
    named = tmp_path / "named.csv"
    for file in files:  # a file that is named is written anew
        ingested(platform, INTRADAY, file, rejects=named)
    assert rejects_of(named)[0][3] == "bad2"
    assert not list(tmp_path.rglob("*.partial"))


def test_what_a_killed_process_left_of_a_reject_file_goes(platform: Platform, write: Write, tmp_path: Path) -> None:
    file = write(HEADER, "bad")
    (tmp_path / ".quotes.csv.rejects.csv.1-1.partial").write_text("left")
    ingested(platform, INTRADAY, file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quotes.csv", "quotes.csv.rejects.csv"]


def test_a_header_alone_and_a_file_of_rejects_do_not_count_as_ingested(platform: Platform, write: Write) -> None:
    for _ in range(2):
        assert ingested(platform, INTRADAY, write(HEADER)).rows == 0
        assert counts(ingested(platform, INTRADAY, write(HEADER, "bad"))) == (0, 0, 0, 0, 1)


@pytest.mark.parametrize("dataset", [INTRADAY, "lab.values"])
def test_of_the_rows_of_one_key_the_greatest_version_wins(platform: Platform, write: Write, dataset: str) -> None:
    symbol, value = ("symbol", "price") if dataset == INTRADAY else ("index_symbol", "value")
    header = f"time,{symbol},{value},volume,seq"
    day = "2014-05-01T05:00:00Z"
    files: list[Source] = [
        write(header, f"{day},A,1,1,9", f"{day},B,1,1,2", f"{day},A,2,1,10", f"{day},C,x,1,99", name="1.csv"),
        write(header, f"{day},B,2,1,2", f"{day},C,3,1,1", f"{day},A,3,1,9.5", f"{day},C,4,1,", name="2.csv"),
    ]
    query = f"SELECT {symbol}, {value}::int FROM {dataset} ORDER BY 1"
    dry = ingested(platform, dataset, *files, version="seq", dry_run=True)
    done = ingested(platform, dataset, *files, version="seq")
    assert counts(dry) == counts(done) == (3, 0, 0, 3, 2)
    assert stored(platform, query) == [("A", 2), ("B", 2), ("C", 3)]
    assert [(file.rows, file.rejected) for file in done.files] == [(4, 1), (4, 1)]
    assert [reject[:2] for reject in rejects_of(Path("2.csv.rejects.csv"))] == [(5, "seq")]
    again = ingested(platform, dataset, *files, version="seq", again=True)
    assert counts(again) == (0, 0, 0, 3, 5)
    later = write(header, f"{day},A,5,1,b", f"{day},A,6,1,B", name="3.csv")
    assert counts(ingested(platform, dataset, later, version="seq", on_conflict="update")) == (0, 1, 0, 1, 0)
    assert stored(platform, query)[0] == ("A", 5), "not all are numbers: as texts, b comes after B"


@pytest.mark.parametrize("piece", [1, 2, 131_072])
@pytest.mark.parametrize("dataset", [INTRADAY, "lab.values"])
def test_of_the_rows_of_one_key_update_takes_the_last_and_skip_the_first(
    platform: Platform, write: Write, monkeypatch: pytest.MonkeyPatch, dataset: str, piece: int
) -> None:
    """Whatever the pieces are in which they come."""
    monkeypatch.setattr(csv_input, "PIECE_ROWS", piece)
    symbol, value = ("symbol", "price") if dataset == INTRADAY else ("index_symbol", "value")
    rows = [f"2014-05-01T05:00:00Z,{key},{number},1" for key, number in ("A1", "B1", "A2", "A2", "B3", "A1", "A3")]
    file = write(f"time,{symbol},{value},volume", *rows)
    query = f"SELECT {symbol}, {value}::int FROM {dataset} ORDER BY 1"
    outcomes: list[tuple[OnConflict, tuple[int, ...], list[int]]] = [
        ("skip", (2, 0, 5, 0, 0), [1, 1]),
        ("update", (0, 4, 3, 0, 0), [3, 3]),  # 1, then 2, 2, 1, 3; and 1, then 3
        ("skip", (0, 0, 7, 0, 0), [3, 3]),
        ("error", (0, 0, 0, 0, 7), [3, 3]),
    ]
    for on_conflict, outcome, left in outcomes:
        for dry_run in (True, False):
            result = ingested(platform, dataset, file, on_conflict=on_conflict, dry_run=dry_run, again=True)
            assert counts(result) == outcome
        assert stored(platform, query) == list(zip("AB", left, strict=True))


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_a_damaged_end_leaves_nothing_of_the_rows_before_it(
    platform: Platform, write: Write, kind: str, packing: str
) -> None:
    if packing or kind == "parquet":
        start = datetime(2014, 5, 1, tzinfo=UTC)
        rows: list[dict[str, str | None]] = [
            {
                "time": f"{start + timedelta(seconds=n):%Y-%m-%dT%H:%M:%SZ}",
                "symbol": "A",
                "price": str(n + 1),
                "volume": "1",
            }
            for n in range(20_000)
        ]
        content = packed({"csv": as_csv, "ndjson": as_ndjson, "parquet": as_parquet}[kind](rows), packing)
        file = write(name=f"q.{kind}{packing}", content=content[:-20])
        with pytest.raises(InputFileError):
            ingested(platform, INTRADAY, file)
        assert count(platform, INTRADAY) == 0
        write(name=f"q.{kind}{packing}", content=content)
        assert counts(ingested(platform, INTRADAY, file)) == (20_000, 0, 0, 0, 0)


def test_odd_texts_are_taken_or_refused_one_by_one(platform: Platform, write: Write) -> None:
    content = b'\xef\xbb\xbfb,a\r1,cr\r\n2,"l\nf"\n3,\xff\xfe\n4,nul\0\n5,ok'
    result = ingested(platform, "lab.bare", write(name="odd.csv", content=content))
    assert stored(platform, "SELECT b, a FROM lab.bare ORDER BY b") == [(1, "cr"), (2, "l\nf"), (5, "ok")]
    assert [(place, reason) for place, _, reason, _ in rejects_of(Path("odd.csv.rejects.csv"))] == [
        (5, "is not UTF-8"),
        (6, "'nul\\x00' has a NUL byte, which PostgreSQL's text cannot hold"),
    ]
    assert counts(result) == (3, 0, 0, 0, 2)
    assert b"3,\xff\xfe" in Path("odd.csv.rejects.csv").read_bytes(), "as it was in the file"
    wide = write(name="wide.csv", content="id,Name\n1,a\n".encode("utf-16"))
    with pytest.raises(InputFileError, match="is UTF-16, not UTF-8"):
        ingested(platform, "lab.bare", wide)


def test_ten_megabytes_in_one_field(platform: Platform, write: Write) -> None:
    long = "x" * 10_000_000
    file = write("a,b", f"{long},1", f"{long},one", "short,2")
    assert counts(ingested(platform, "lab.bare", file)) == (2, 0, 0, 0, 1)
    assert stored(platform, "SELECT length(a), b FROM lab.bare ORDER BY b") == [(10_000_000, 1.0), (5, 2.0)]
    assert stored(platform, "SELECT count(*) FROM lab.bare WHERE a <> repeat('x', 10000000) AND a <> 'short'") == [(0,)]
    [(place, column, _, row)] = rejects_of_long(Path("quotes.csv.rejects.csv"))
    assert (place, column, len(row)) == (3, "b", len(long) + 4)


def rejects_of_long(path: Path) -> list[tuple[int, str, str, str]]:
    import csv

    before = csv.field_size_limit(1 << 30)
    try:
        return rejects_of(path)
    finally:
        csv.field_size_limit(before)


def test_the_sample_is_in_the_store_to_the_last_decimal(platform: Platform) -> None:
    import csv
    import gzip

    seen: list[Progress] = []
    result = ingested(platform, INTRADAY, sample_path("quotes_events"), progress=seen.append)
    with gzip.open(sample_path("quotes_events"), "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    assert result.rows == result.inserted == len(rows) == seen[-1].rows
    expected = [
        (
            datetime.fromisoformat(row["time"]),
            row["symbol"],
            Decimal(row["price"]),
            Decimal(row["volume"]),
            Decimal(row["bid"]) if row["bid"] else None,
        )
        for row in rows
    ]
    assert prices(platform) == sorted(expected)
    assert seen[-1].bytes_read == seen[-1].bytes_total == sample_path("quotes_events").stat().st_size


def test_an_interrupted_file_leaves_nothing_and_can_be_sent_again(platform: Platform, write: Write) -> None:
    start = datetime(2014, 5, 1, tzinfo=UTC)
    lines = [f"{(start + timedelta(minutes=n)).isoformat()},A,1.5,0,," for n in range(5_000)]
    file = write(HEADER, "bad", *lines)

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingested(platform, INTRADAY, file, progress=interrupt)
    assert count(platform, INTRADAY) == 0
    assert [path.name for path in file.parent.iterdir()] == ["quotes.csv"]
    assert ingested(platform, INTRADAY, file).inserted == count(platform, INTRADAY) == 5_000


class _Endless(io.RawIOBase):
    """A pipe that breaks off with an error of the disk."""

    def __init__(self, content: bytes) -> None:
        self._content: BinaryIO = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        part = self._content.read(size)
        if not part:
            raise OSError(5, "Input/output error")
        return part


def test_a_source_that_fails_in_the_middle(platform: Platform, write: Write) -> None:
    write()
    source = Stdin(_Endless(as_csv(ROWS)))  # type: ignore[arg-type]  # a stream of bytes of the test's own
    with pytest.raises(InputFileError, match="Input/output error"):
        ingested(platform, INTRADAY, source, form="csv")
    assert count(platform, INTRADAY) == 0


def test_rows_that_a_quality_rule_marks_are_taken_and_counted(platform: Platform, write: Write) -> None:
    file = write(
        "time,symbol,price,volume,bid,ask",
        "2014-05-01T05:00:00Z,A,100,1,101,99",
        "2014-05-01T05:01:00Z,A,100,1,99,101",
        "2014-05-01T05:02:00Z,A,100,1,,99",
    )
    result = ingested(platform, INTRADAY, file)
    assert (result.inserted, dict(result.flagged)) == (3, {"bid_over_ask": 1})
    assert platform.timescale.flagged(INTRADAY).column("flags").to_pylist() == ["bid_over_ask"]
