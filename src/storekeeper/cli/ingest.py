"""ingest: files into a dataset, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from storekeeper.cli.options import CatalogPath, Directory, Json, opened
from storekeeper.cli.output import console, counted, emit_json
from storekeeper.errors import ColumnError, InputError, NaiveTimeError, StorekeeperError, UniqueError, ValueFitError

if TYPE_CHECKING:
    from storekeeper.ingest.progress import Ingested, Progress


E = TypeVar("E", bound=StorekeeperError)

_UNKNOWN = (
    "map what is meant, or skip what is unknown",
    "--map says what is meant, --skip-unknown leaves the rest out",
)


def ingest(
    dataset: Annotated[str, typer.Argument(help="The dataset, such as invest.intraday_prices.")],
    files: Annotated[list[Path], typer.Argument(help="csv, plain or gz.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="column=SOURCE: a column of the file, a template '{a}@{b}', or mid(bid,ask)."),
    ] = None,
    constants: Annotated[list[str] | None, typer.Option("--set", help="column=value, the same for all rows.")] = None,
    rounding: Annotated[
        list[str] | None, typer.Option("--round", help="column=places: round half even, and count what was rounded.")
    ] = None,
    time_format: Annotated[str | None, typer.Option("--time-format", help="As strptime writes it: %m/%d/%Y.")] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", help="The zone of times that carry none: UTC, Europe/Paris.")
    ] = None,
    on_conflict: Annotated[
        Literal["error", "skip", "update"], typer.Option("--on-conflict", help="What a row does whose key is there.")
    ] = "error",
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out columns that the dataset has not.")
    ] = False,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Reads files into a dataset by COPY, each whole or not at all. Columns of the same name map themselves."""
    with opened(directory, catalog, as_json=as_json) as platform:
        from storekeeper.ingest.csv_files import ingest_csv
        from storekeeper.ingest.mapping import parse_map, parse_set

        sources, values, places = parse_map(mapping or []), parse_set(constants or []), _places(rounding or [])
        for path in files:
            with _in_options(), _progress(path, shown=not as_json) as progress:
                done = ingest_csv(
                    platform,
                    dataset,
                    path,
                    mapping=sources,
                    constants=values,
                    round_to=places,
                    skip_unknown=skip_unknown,
                    time_format=time_format,
                    zone=zone,
                    on_conflict=on_conflict,
                    progress=progress,
                )
            _told(path, done, as_json=as_json)


@contextmanager
def _in_options() -> Iterator[None]:
    """What can be done about a refused file is said in the words of this command."""
    try:
        yield
    except UniqueError as error:
        raise _hinted(
            error, "--on-conflict skip leaves such rows out, --on-conflict update takes the new ones"
        ) from error
    except NaiveTimeError as error:
        raise _hinted(error, "give an offset, such as +00:00 or Z, or name the zone: --zone UTC") from error
    except ValueFitError as error:
        if error.column and "round" in error.hint:
            raise _hinted(error, f"--round {error.column}=PLACES rounds half to even, and counts") from error
        raise
    except ColumnError as error:
        raise _hinted(error, error.hint.replace(*_UNKNOWN)) from error


def _hinted(error: E, hint: str) -> E:
    said = copy(error)
    said.hint = hint
    return said


def _places(options: list[str]) -> dict[str, int]:
    """`--round column=places` by column."""
    places = {}
    for option in options:
        column, _, count = option.partition("=")
        if not column or not count.isdecimal():
            raise InputError(
                f"{option!r} is no column=places", operation="ingest", hint="write --round adjusted_close=6"
            )
        places[column] = int(count)
    return places


@contextmanager
def _progress(path: Path, *, shown: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A bar on standard error, with rows and rows a second; none where nobody looks."""
    err = console(stderr=True)
    if not shown or not err.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress as Bar, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=err, transient=True) as bar:
        task = bar.add_task(path.name, total=None, rows="")

        def moved(progress: Progress) -> None:
            rate = f"{progress.rows:,} rows, {progress.rows_per_second:,.0f}/s"
            bar.update(task, completed=progress.bytes_read, total=progress.bytes_total, rows=rate)

        yield moved


def _told(path: Path, done: Ingested, *, as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                "file": str(path),
                "dataset": done.dataset,
                "rows": done.rows,
                "inserted": done.inserted,
                "updated": done.updated,
                "skipped": done.skipped,
                "rounded": dict(done.rounded),
                "seconds": round(done.seconds, 3),
            }
        )
        return
    parts = [f"{counted(done.rows, 'row')} in {done.seconds:.1f} s ({done.rows_per_second:,.0f}/s)"]
    parts += [f"{count:,} {what}" for what, count in (("updated", done.updated), ("skipped", done.skipped)) if count]
    parts += [f"{counted(count, 'value')} of {column} rounded" for column, count in done.rounded.items() if count]
    console().print(f"{path.name} → {done.dataset}: {'; '.join(parts)}")
