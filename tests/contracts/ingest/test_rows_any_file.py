"""Any csv, any options, any rows that are there already: what becomes of every row is what a plain model says."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, event, given, settings, strategies as st

from row_files import counts, fields_of, ingested, opened, rejects_of, stored
from storekeeper.errors import InputError, NaiveTimeError
from storekeeper.ingest.readers import csv_input
from storekeeper.platform import Platform

Fields = tuple[str | None, ...]  # None: an empty field; "": a quoted one of nothing
Outcome = Literal["error", "skip", "update"]
Key = tuple[datetime, str]

COLUMNS = ("time", "index_symbol", "value", "change", "change_percent", "volume")
KEY = ("time", "index_symbol")
ROUNDED = {"value": 6, "change": 2}
#: Each example is four files read into a server.
EXAMPLES = settings(
    max_examples=max(1, settings().max_examples // 4),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TIMES = {
    "2014-05-01T00:00:00Z": datetime(2014, 5, 1, tzinfo=UTC),
    "2014-05-01 02:00:00+02:00": datetime(2014, 5, 1, tzinfo=UTC),
    "2014-06-01T00:00:00.000001Z": datetime(2014, 6, 1, 0, 0, 0, 1, tzinfo=UTC),
    "2015-05-03T12:30:00-05": datetime(2015, 5, 3, 17, 30, tzinfo=UTC),
}
_NAIVE = "2014-05-01T00:00:00"
_GOOD_NUMBERS = ("1", "1.5", "1.500000", "15e-1", ".5", "-7.25", "123456789012.345678")


@dataclass(frozen=True)
class File:
    """A csv file, record by record, and how it is to be read."""

    header: tuple[str, ...]
    rows: tuple[Fields, ...]
    line_end: str
    last_line_end: bool
    quote_all: bool
    blank_after: frozenset[int]

    def text(self) -> str:
        return "".join(self._lines())

    def places(self) -> list[int]:
        """The line on which each row begins."""
        lines = self._lines()
        places, line = [], 1
        for number, text in enumerate(lines):
            if number:
                places.append(line)
            line += len(re.findall(r"\r\n|\n", text))
        return places

    def _lines(self) -> list[str]:
        lines = []
        for number, fields in enumerate((self.header, *self.rows)):
            end = self.line_end * (2 if number in self.blank_after else 1)
            last = number == len(self.rows) and not self.last_line_end
            lines.append(",".join(self._field(text) for text in fields) + ("" if last else end))
        return lines

    def _field(self, text: str | None) -> str:
        if text is None:
            return ""
        if self.quote_all or not text or re.search(r'[",\r\n]', text):
            return '"' + text.replace('"', '""') + '"'
        return text


@dataclass(frozen=True)
class Case:
    file: File
    there: Mapping[Key, tuple[Any, ...]]
    on_conflict: Outcome
    version: bool
    rounding: bool
    mapped: bool
    piece: int


@dataclass
class Expected:
    """What the model says."""

    store: dict[Key, tuple[Any, ...]]
    inserted: int = 0
    updated: int = 0
    skipped: int = 0
    superseded: int = 0
    rejects: dict[int, str] = field(default_factory=dict)  # line → column
    rounded: dict[str, int] = field(default_factory=dict)


_symbols = st.sampled_from(["A", "A", "A", "A", "B", "", 'q"uote', "line\nend", "com,ma", "ä" * 32])
_texts: dict[str, tuple[st.SearchStrategy[str | None], st.SearchStrategy[str | None]]] = {
    # (what fits, what does not)
    "time": (
        st.sampled_from([*list(_TIMES)[:2] * 3, *_TIMES]),
        st.sampled_from([None, "", _NAIVE, "2014-02-30T00:00:00Z", "noon", "2014-05-01T00:00:00.1234567Z"]),
    ),
    "index_symbol": (_symbols, st.sampled_from([None, "x" * 33, "nul\0"])),
    "value": (
        st.sampled_from(_GOOD_NUMBERS),
        st.sampled_from([None, "", "NaN", "-inf", "1e40", "1234567890123", "0x1", " 1", "1,5", "1_0", "٣"]),
    ),
    "change": (
        st.sampled_from([None, "", *_GOOD_NUMBERS]) | st.sampled_from(["1.005", "1.015", "-0.0049999"]),
        st.sampled_from(["infinity", "1e13", "one"]),
    ),
    "change_percent": (st.sampled_from([None, "1.25", "-999.9999"]), st.sampled_from(["1000", "0.00001", "5%"])),
    "volume": (
        st.sampled_from([None, "5", "5.0", "5e2", "9223372036854775807"]),
        st.sampled_from(["-1", "-1", "-2", "9223372036854775808", "1.5", "five"]),
    ),
    "version": (st.sampled_from(["1", "2", "10", "2.0"]), st.sampled_from([None, "b", "B"])),
    "other": (st.sampled_from([None, "anything", "NaN"]), st.just("at all")),
}


@st.composite
def _rows(draw: st.DrawFn, header: tuple[str, ...]) -> Fields:
    bad = draw(st.sampled_from([None, None, None, None, *header, "volume", "width"]))
    fields = [draw(_texts[name][name == bad]) for name in header]
    if bad == "width":
        return tuple([*fields, "more"] if draw(st.booleans()) or len(fields) < 3 else fields[:-1])
    return tuple(fields)


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    version = draw(st.booleans())
    optional = draw(st.sets(st.sampled_from(COLUMNS[3:])))
    names = [*COLUMNS[:3], *sorted(optional), "other", *(["version"] if version else [])]
    header = tuple(draw(st.permutations(names)))
    rows = tuple(draw(st.lists(_rows(header), max_size=12)))
    file = File(
        header,
        rows,
        draw(st.sampled_from(["\n", "\r\n"])),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.frozensets(st.integers(0, 12), max_size=2)),
    )
    keys = st.tuples(st.sampled_from(list(_TIMES.values())), _symbols)
    old = st.tuples(
        st.sampled_from([Decimal("1.500000"), Decimal("2.000000")]),
        st.sampled_from([None, Decimal("1.500000")]),
        st.none(),
        st.sampled_from([None, 5]),
    )
    return Case(
        file,
        draw(st.dictionaries(keys, old, max_size=4)),
        draw(st.sampled_from(["error", "skip", "update"])),
        version,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from([1, 2, 5, 131_072])),
    )


class _Misfit(Exception):  # noqa: N818  # it never leaves the model
    pass


class Model:
    """What becomes of a file's rows, row by row."""

    def __init__(self, case: Case, *, checked: bool) -> None:
        self._case = case
        self._checked = checked  # whether the table refuses a negative volume
        self.naive = False

    def run(self) -> Expected:
        case, expected = self._case, Expected(dict(self._case.there))
        good: list[tuple[int, Key, dict[str, Any], str]] = []
        first = True
        for place, fields in zip(case.file.places(), case.file.rows, strict=True):
            if len(fields) != len(case.file.header):
                expected.rejects[place] = ""
                continue
            row = dict(zip(case.file.header, fields, strict=True))
            self.naive = self.naive or (first and row["time"] == _NAIVE)
            first = False
            rounded: dict[str, int] = {}
            try:
                values = self._values(row, rounded)
            except _Misfit as misfit:
                expected.rejects[place] = str(misfit)
                continue
            for name, changed in rounded.items():
                expected.rounded[name] = expected.rounded.get(name, 0) + changed
            if self._checked and (values.get("volume") or 0) < 0:
                expected.rejects[place] = ""
                continue
            good.append((place, (values["time"], values["index_symbol"]), values, row.get("version") or ""))
        for place, key, values, _ in self._winners(good, expected):
            self._put(place, key, values, expected)
        return expected

    def _winners(
        self, good: list[tuple[int, Key, dict[str, Any], str]], expected: Expected
    ) -> list[tuple[int, Key, dict[str, Any], str]]:
        if not self._case.version:
            return good
        numbers = all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", version) for *_, version in good)
        newest: dict[Key, tuple[int, Key, dict[str, Any], str]] = {}
        for row in good:
            before = newest.get(row[1])
            if before is None or self._rank(row[3], numbers) >= self._rank(before[3], numbers):
                newest[row[1]] = row
        expected.superseded = len(good) - len(newest)
        return sorted(newest.values())

    def _rank(self, version: str, numbers: bool) -> Any:
        return Decimal(version) if numbers else version

    def _put(self, place: int, key: Key, values: Mapping[str, Any], expected: Expected) -> None:
        old = expected.store.get(key)
        # a column that the file has not keeps what it holds
        new = tuple(values.get(name, old[number] if old else None) for number, name in enumerate(COLUMNS[2:]))
        if old is None:
            expected.inserted += 1
            expected.store[key] = new
        elif self._case.on_conflict == "error":
            expected.rejects[place] = ""
        elif self._case.on_conflict == "update" and new != old:
            expected.updated += 1
            expected.store[key] = new
        else:
            expected.skipped += 1

    def _values(self, row: Mapping[str, str | None], rounded: dict[str, int]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in COLUMNS:
            if name in row:
                values[name] = self._value(name, row[name], rounded)
        if self._case.version and row["version"] is None:
            raise _Misfit("version")
        return values

    def _value(self, name: str, text: str | None, rounded: dict[str, int]) -> Any:
        if name == "index_symbol":
            if text is None or len(text) > 32 or "\0" in text:
                raise _Misfit(name)
            return text
        if not text:
            if name in ("time", "value"):
                raise _Misfit(name)
            return None
        if name == "time":
            if text not in _TIMES:
                raise _Misfit(name)
            return _TIMES[text]
        if not _NUMBER.fullmatch(text) or not text.isascii():
            raise _Misfit(name)
        number = Decimal(text)
        if name == "volume":
            if number != int(number) or not -(2**63) <= number < 2**63:
                raise _Misfit(name)
            return int(number)
        places, whole = (4, 3) if name == "change_percent" else (6, 12)
        if self._case.rounding and name in ROUNDED:
            fewer = number.quantize(Decimal(1).scaleb(-ROUNDED[name]), ROUND_HALF_EVEN) if number < 10**20 else number
            if fewer != number:
                rounded[name] = rounded.get(name, 0) + 1
            number = fewer
        if abs(number) >= 10**whole or number != number.quantize(Decimal(1).scaleb(-places)):
            raise _Misfit(name)
        return number


@pytest.fixture(scope="module", params=["invest.market_indices", "lab.values"])
def dataset(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with opened(migrated_url) as platform:
        yield platform


def prepare(platform: Platform, dataset: str, there: Mapping[Key, tuple[Any, ...]]) -> None:
    with platform.postgres.begin() as connection:
        connection.execute(
            sa.text(f"TRUNCATE {dataset}, storekeeper.ingested_files, storekeeper.ingested_series_files")
        )
    rows = [dict(zip(COLUMNS, (*key, *values), strict=True)) for key, values in there.items()]
    if rows and dataset == "lab.values":
        with platform.postgres.begin() as connection:
            connection.execute(platform.catalog.domains[-1].tables[-1].insert(), rows)
    elif rows:
        platform.timescale.append(dataset, rows)


def contents(platform: Platform, dataset: str) -> dict[Key, tuple[Any, ...]]:
    rows = stored(platform, f"SELECT {', '.join(COLUMNS)} FROM {dataset}")
    return {(row[0], row[1]): row[2:] for row in rows}


def read_by_python(file: File) -> list[list[str]]:
    """The records that are not blank, as Python's csv module reads them."""
    return [record for record in csv.reader(io.StringIO(file.text(), newline="")) if record]


@EXAMPLES
@given(case=_cases())
def test_every_row_goes_where_the_model_says(
    platform: Platform, dataset: str, tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = folder / "any.csv"
    path.write_bytes(case.file.text().encode())
    prepare(platform, dataset, case.there)
    fields = [[text or "" for text in row] for row in (case.file.header, *case.file.rows)]
    assert read_by_python(case.file) == fields, "the file is what the generator thinks it is"
    options: dict[str, Any] = {
        "on_conflict": case.on_conflict,
        "version": "version" if case.version else None,
        "round_to": ROUNDED if case.rounding and "change" in case.file.header else {},
        "rejects": folder,
        **({"maps": [f"{name}={name}" for name in KEY]} if case.mapped else {"skip_unknown": True}),
    }
    if case.rounding and "change" not in case.file.header:
        case = Case(**{**case.__dict__, "rounding": False})
    model = Model(case, checked=dataset == "lab.values")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_input, "PIECE_ROWS", case.piece)
        expected = model.run()
        if model.naive:
            event("naive")
            with pytest.raises(NaiveTimeError):
                ingested(platform, dataset, path, **options)
            assert contents(platform, dataset) == case.there
            return
        outcome = (expected.inserted, expected.updated, expected.skipped, expected.superseded, len(expected.rejects))
        event(f"{case.on_conflict}, version {case.version}, rejects {bool(expected.rejects)}")

        dry = ingested(platform, dataset, path, **options, dry_run=True)
        assert counts(dry) == outcome
        assert contents(platform, dataset) == case.there
        assert [entry.name for entry in folder.iterdir()] == ["any.csv"]

        done = ingested(platform, dataset, path, **options)
        assert counts(done) == outcome
        assert done.rows == len(case.file.rows)
        assert dict(done.rounded) == dict(dry.rounded) == expected.rounded
        assert contents(platform, dataset) == expected.store
        check_rejects(folder, case, expected)

        taken = done.rows > done.rejected
        if taken:
            with pytest.raises(InputError, match="was ingested"):
                ingested(platform, dataset, path, **options)
        assert contents(platform, dataset) == expected.store
        again = ingested(platform, dataset, path, **{**options, "on_conflict": "skip"}, again=True)
        assert (again.inserted, again.updated) == (0, 0)
        assert contents(platform, dataset) == expected.store


def check_rejects(folder: Path, case: Case, expected: Expected) -> None:
    path = folder / "any.csv.rejects.csv"
    assert path.exists() == bool(expected.rejects)
    if not expected.rejects:
        return
    rejects = rejects_of(path)
    if not case.version:
        assert [place for place, *_ in rejects] == sorted(expected.rejects)
    lines = dict(zip(case.file.places(), case.file.rows, strict=True))
    assert sorted(place for place, *_ in rejects) == sorted(expected.rejects)
    for place, column, reason, row in rejects:
        assert column == expected.rejects[place]
        assert reason
        assert fields_of(row) == [text or "" for text in lines[place]]


def test_the_model_knows_its_instants() -> None:
    assert len(set(_TIMES.values())) < len(_TIMES), "two texts are one instant"
    assert max(_TIMES.values()) - min(_TIMES.values()) > timedelta(days=365)
