"""Which files are meant by what stands on a command line, and what kind each is."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from packed import PACKINGS, Packing, packed, piped, written
from storekeeper.errors import InputFileError
from storekeeper.ingest.readers.csv_input import CsvInput
from storekeeper.ingest.readers.files import Kind, kind_of, meant, open_input
from storekeeper.ingest.readers.ndjson_input import NdjsonInput
from storekeeper.ingest.readers.parquet_input import ParquetInput
from storekeeper.ingest.readers.text_input import Stdin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.csv", "c.csv.gz", "[x].csv", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "deep" / "er.csv").mkdir(parents=True)
    (tmp_path / "deep" / "d.csv").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["b.csv", "a.csv"], ["b.csv", "a.csv"]),
        (["*.csv"], ["[x].csv", "a.csv", "b.csv"]),
        (["[ab].csv*", "c.*"], ["a.csv", "b.csv", "c.csv.gz"]),
        (["**/*.csv"], ["[x].csv", "a.csv", "b.csv", "deep/d.csv"]),
        (["[x].csv"], ["[x].csv"]),
        (["b.csv", "?.csv"], ["b.csv", "a.csv"]),
        ([], []),
    ],
)
def test_paths_and_patterns_are_the_files_that_they_name(folder: Path, arguments: list[str], names: list[str]) -> None:
    assert meant([f"{folder}/{argument}" for argument in arguments]) == [folder / name for name in names]


def test_a_relative_pattern_is_of_the_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert meant(["deep/*.csv", "a.csv"]) == [Path("deep/d.csv"), Path("a.csv")]


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("nothing.csv", "No such file or directory"),
        ("x*.csv", "matches no file"),
        ("x" * 300, "File name too long"),
        ("deep/*.csv/*", "matches no file"),
        ("", r"is a folder\nHINT: name its files: .*/\*\.csv$"),
        ("deep/er.csv", r"is a folder\nHINT: name its files: .*/deep/er\.csv/\*\.csv$"),
    ],
)
def test_what_names_no_file_is_an_error(folder: Path, argument: str, says: str) -> None:
    with pytest.raises(InputFileError, match=says) as caught:
        meant([f"{folder}/a.csv", f"{folder}/{argument}"])
    assert caught.value.target == f"{folder}/{argument}"


def test_a_folder_is_told_with_the_files_that_it_has(tmp_path: Path) -> None:
    for name in ("a.jsonl.zst", "b.jsonl.zst", "c.csv", "d.txt"):
        (tmp_path / name).touch()
    with pytest.raises(InputFileError, match=r"/\*\.jsonl\.zst"):
        meant([str(tmp_path)])


def test_standard_input_is_named_once(folder: Path) -> None:
    stream = io.BytesIO(b"a\n1\n")
    assert meant(["-", f"{folder}/a.csv"], stdin=stream) == [Stdin(stream), folder / "a.csv"]
    with pytest.raises(InputFileError, match="ingest stdin: is named twice"):
        meant(["-", "-"], stdin=stream)


@pytest.mark.parametrize(
    ("name", "form", "kind"),
    [
        ("a.csv", None, "csv"),
        ("A.CSV.GZ", None, "csv"),
        ("a.b.ndjson.zst", None, "ndjson"),
        ("a.jsonl", None, "ndjson"),
        ("a.jsonlines.gz", None, "ndjson"),
        ("a.json", None, "ndjson"),
        ("a.parquet", None, "parquet"),
        ("server.log.gz", None, "log"),
        ("server.log", "csv", "csv"),
        ("a.csv", "ndjson", "ndjson"),
        ("a.csv", "log4j", "log"),
        ("stdin", "parquet", "parquet"),
    ],
)
def test_a_name_says_what_a_file_is_unless_the_caller_does(name: str, form: str | None, kind: Kind) -> None:
    assert kind_of(name, b"a,b\n", form, operation="ingest", target="t") == kind


def test_parquet_is_known_by_its_content() -> None:
    assert kind_of("stdin", b"PAR1", None, operation="ingest", target="t") == "parquet"
    assert kind_of("stdin", b"PAR1", "csv", operation="ingest", target="t") == "csv"


@pytest.mark.parametrize("name", ["stdin", "csv", "a.txt", "a.gz", "a.csv.bz2", "a.csv.gz.gz"])
def test_a_name_that_says_nothing_is_an_error(name: str) -> None:
    with pytest.raises(InputFileError, match=r"does not say what it is\nHINT: name it: --format"):
        kind_of(name, b"a,b\n", None, operation="ingest", target="t")


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": ["1", "3"], "b": ["2", "4"]}), sink)
    return sink.getvalue()


ROWS = [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
FILES: list[tuple[str, bytes, type]] = [
    ("rows.csv", b"a,b\n1,2\n3,4\n", CsvInput),
    ("rows.jsonl", b'{"a": 1, "b": "2"}\n{"b": 4, "a": "3"}\n', NdjsonInput),
    ("rows.parquet", parquet(), ParquetInput),
]


@pytest.mark.parametrize(("name", "content", "kind"), FILES)
@pytest.mark.parametrize("packing", PACKINGS)
def test_a_file_and_a_pipe_give_the_same_rows(
    tmp_path: Path, name: str, content: bytes, kind: type, packing: Packing
) -> None:
    path = written(tmp_path, content, name, packing)
    with closing(open_input(path, operation="ingest", target="t")) as file:
        assert type(file) is kind
        [piece] = file.pieces(["a", "b"])
        assert piece.batch.to_pylist() == ROWS
        assert file.position == file.size == path.stat().st_size
        digest = file.digest
    form = None if kind is ParquetInput else Path(name).suffix.removeprefix(".").replace("jsonl", "ndjson")
    with (
        piped(packed(content, packing)) as stream,
        closing(open_input(Stdin(stream), form, operation="ingest", target="t")) as file,
    ):
        [from_pipe] = file.pieces(["a", "b"])
        assert from_pipe.batch == piece.batch
        assert [from_pipe.text(row) for row in range(2)] == [piece.text(row) for row in range(2)]
        assert from_pipe.places.tolist() == piece.places.tolist()
        assert file.digest == digest


def test_a_log_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="is a log, and has no columns"):
        open_input(written(tmp_path, b"x\n", "server.log"), operation="ingest", target="t")


def test_standard_input_is_the_callers_to_close() -> None:
    stream = io.BytesIO(b"a\n1\n")
    open_input(Stdin(stream), "csv", operation="ingest", target="t").close()
    with pytest.raises(InputFileError):
        open_input(Stdin(stream), operation="ingest", target="t")
    assert not stream.closed
