"""ingest: files into a dataset, with a progress bar, and what became of their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from storekeeper.cli.failing import reported
from storekeeper.cli.options import CatalogPath, Directory, Json
from storekeeper.cli.output import console, counted, emit_json
from storekeeper.errors import AlreadyIngestedError, InputError, StorekeeperError

if TYPE_CHECKING:
    from storekeeper.ingest.progress import FileResult, Ingested, Progress
    from storekeeper.ingest.readers.files import Source
    from storekeeper.platform import Platform

#: What the library calls its parameters, in the words of this command.
_WORDS = (
    ("map what is meant, or skip what is unknown", "--map says what is meant, --skip-unknown leaves the rest out"),
    ("again=True takes it once more", "--again takes it once more"),
    ("give an offset, such as +00:00 or Z, or name the zone", "name the zone: --zone UTC"),
    ("zone='UTC'", "--zone UTC"),
    ("year=2005", "--year 2005"),
    ("set it for all (service=auth)", "set it for all (--set service=auth)"),
    ("what lines say (service={tag})", "what lines say (--map 'service={tag}')"),
    ("round_to lets a column be rounded, half to even,", "--round COLUMN=PLACES rounds half to even"),
    ('on_conflict="skip" leaves such rows out, "update"', "--on-conflict skip leaves such rows out, update"),
    ('on_conflict="update" takes the last row of a key,', "--on-conflict update takes the last row of a key,"),
    ("version= the greatest", "--version the greatest"),
)


def ingest(
    dataset: Annotated[str, typer.Argument(help="The dataset, such as invest.intraday_prices.")],
    files: Annotated[
        list[str],
        typer.Argument(help="csv, ndjson, parquet or log files, plain, gz or zst; patterns; - for standard input."),
    ],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="column=SOURCE: a column of the file, a template '{a}@{b}', or mid(bid,ask)."),
    ] = None,
    constants: Annotated[list[str] | None, typer.Option("--set", help="column=value, the same for all rows.")] = None,
    rounding: Annotated[
        list[str] | None, typer.Option("--round", help="column=places: round half even, and count what was rounded.")
    ] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out columns that the dataset has not.")
    ] = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="csv, ndjson, parquet; of log lines: kafka, log4j, syslog, android, combined, json, regex:PATTERN.",
            show_default="what the file's name says",
        ),
    ] = None,
    time_format: Annotated[str | None, typer.Option("--time-format", help="As strptime writes it: %m/%d/%Y.")] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", help="The zone of times that carry none: UTC, Europe/Paris.")
    ] = None,
    year: Annotated[int | None, typer.Option("--year", help="The year of log lines that carry none.")] = None,
    on_conflict: Annotated[
        Literal["error", "skip", "update"],
        typer.Option("--on-conflict", help="A row whose key is there: a reject, left out, or takes its place."),
    ] = "error",
    version: Annotated[
        str | None,
        typer.Option("--version", help="A column of the files: of the rows of one key the greatest value wins."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="The first row that breaks a rule ends it, and nothing is left.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check everything, write nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Take a file whose content was ingested before.")] = False,
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", help="The file or folder for rejected rows.", show_default="./FILE.rejects.csv"),
    ] = None,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Reads files into a dataset. Columns of the same name map themselves.

    Each file is committed whole (with --version all of them together); rows that break a rule go to a reject file.
    """
    with reported(as_json=as_json):
        from storekeeper.ingest.ingesting import ingest as ingest_sources
        from storekeeper.ingest.mapping import parse_map, parse_set
        from storekeeper.ingest.options import Options
        from storekeeper.ingest.readers.files import meant, name_of

        options = Options(
            mapping=parse_map(mapping or []),
            constants=parse_set(constants or []),
            round_to=_places(rounding or []),
            skip_unknown=skip_unknown,
            form=form,
            time_format=time_format,
            zone=zone,
            year=year,
            on_conflict=on_conflict,
            version=version,
            strict=strict,
            dry_run=dry_run,
            again=again,
            rejects=rejects,
        )
        sources = meant(files)
        if rejects is not None and len(sources) > 1 and not version and not rejects.is_dir():
            raise InputError(
                "is one file, for the rejects of several",
                operation="ingest",
                target=str(rejects),
                hint="name a folder that is there",
            )
        with _opened(directory, catalog, dataset) as platform:
            units = [sources] if version else [[source] for source in sources]
            failed: InputError | None = None
            for place, unit in enumerate(units):
                try:
                    with _in_options(), _progress(unit, shown=not as_json) as progress:
                        done = ingest_sources(platform, dataset, unit, options, progress=progress)
                except AlreadyIngestedError as error:
                    # the others of a pattern that comes every night are to go in
                    if len(units) > 1:
                        console(stderr=True).print(
                            f"left out: {error.operation} {dataset}: {error.cause}", soft_wrap=True
                        )
                    failed = error
                    continue
                except StorekeeperError:
                    rest = [name_of(source) for later in units[place + 1 :] for source in later]
                    if rest and not as_json:
                        console(stderr=True).print(f"not tried: {', '.join(rest)}", soft_wrap=True)
                    raise
                _told(done, as_json=as_json)
                failed = _none_taken(done) or failed
            if failed is not None and (len(units) == 1 or not isinstance(failed, AlreadyIngestedError)):
                raise failed


@contextmanager
def _opened(directory: Path | None, catalog: str | None, dataset: str) -> Iterator[Platform]:
    """The platform, with the stores open that the dataset needs: what else is down does not matter."""
    from storekeeper.catalog import load_catalog
    from storekeeper.ingest.ingesting import stores_of
    from storekeeper.platform import connect
    from storekeeper.settings import Settings

    settings = Settings.load(directory=directory, catalog=catalog)
    stores = stores_of(load_catalog(settings.catalog).only(settings.domains), dataset)
    with connect(stores=stores, directory=directory, catalog=catalog, role="jobs") as platform:
        yield platform


@contextmanager
def _in_options() -> Iterator[None]:
    """What can be done about a refused file is said in the words of this command."""
    try:
        yield
    except StorekeeperError as error:
        said = copy(error)
        said.hint = _in_words(said.hint)
        raise said from error


def _in_words(hint: str) -> str:
    for words, option in _WORDS:
        hint = hint.replace(words, option)
    return hint


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
def _progress(sources: Sequence[Source], *, shown: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A bar on standard error, with rows, rows a second and the time that is left; none where nobody looks."""
    err = console(stderr=True)
    if not shown or not err.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress as Bar, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from storekeeper.ingest.readers.files import name_of

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=err, transient=True) as bar:
        task = bar.add_task(", ".join(map(name_of, sources)), total=None, rows="")

        def moved(progress: Progress) -> None:
            rate = f"{progress.rows:,} rows, {progress.rows_per_second:,.0f}/s"
            bar.update(task, completed=progress.bytes_read, total=progress.bytes_total, rows=rate)

        yield moved


def _told(done: Ingested, *, as_json: bool) -> None:
    """Says what became of the files."""
    if as_json:
        emit_json(_as_json(done))
    else:
        _said(done)


def _none_taken(done: Ingested) -> InputError | None:
    """What is wrong where no row of theirs could be taken."""
    if done.rejected and done.rejected == done.rows:
        return InputError(
            f"none of {counted(done.rows, 'row')} can be taken",
            operation=f"ingest {', '.join(file.name for file in done.files)} into",
            target=done.dataset,
            hint="the reasons stand with the rejected rows; what is wrong with all of them is often the --map",
        )
    return None


def _said(done: Ingested) -> None:
    shown = console()
    names = ", ".join(file.name for file in done.files)
    would = "dry run: would be " if done.dry_run else ""
    parts = [f"{counted(done.rows, 'row')} in {done.seconds:.1f} s ({done.rows_per_second:,.0f}/s)"]
    outcomes = (
        ("inserted", done.inserted),
        ("updated", done.updated),
        ("skipped", done.skipped),
        ("superseded by a later version", done.superseded),
        ("rejected", done.rejected),
    )
    told = [f"{count:,} {what}" for what, count in outcomes if count]
    if not done.rows:
        parts = ["there are no rows in it"]
    elif done.dry_run or done.inserted != done.rows:
        parts.append(would + ", ".join(told or ["nothing written"]))
    if done.continued:
        parts.append(f"{counted(done.continued, 'line')} continued the one above")
    parts += [f"{counted(count, 'value')} of {column} rounded" for column, count in done.rounded.items() if count]
    parts += [f"{counted(count, 'row')} flagged {name}" for name, count in done.flagged.items()]
    shown.print(f"{names} → {done.dataset}: {'; '.join(parts)}", soft_wrap=True)
    for file in done.files:
        _said_of_rejects(file)
    if done.expiring:
        shown.print(
            f"  {counted(done.expiring, 'document')} are older than the collection keeps them: the server will delete "
            "them within a minute or two",
            soft_wrap=True,
        )


def _said_of_rejects(file: FileResult) -> None:
    from storekeeper.ingest.rejects import what_to_do

    shown = console()
    for reject in file.first:
        column = f", column {reject.column}" if reject.column else ""
        shown.print(f"  {file.unit} {reject.place}{column}: {reject.reason}", soft_wrap=True)
    if file.rejected > len(file.first):
        most = sorted(file.reasons.items(), key=lambda item: -item[1])[:5]
        for reason, count in most:
            shown.print(f"  {count:,} x {reason}", soft_wrap=True)
    for hint in dict.fromkeys(map(what_to_do, file.reasons)):
        if hint:
            shown.print(f"  hint: {_in_words(hint)}", soft_wrap=True)
    if file.rejects is not None:
        shown.print(f"  {counted(file.rejected, 'rejected row')}: {file.rejects}", soft_wrap=True)


def _as_json(done: Ingested) -> dict[str, object]:
    return {
        "dataset": done.dataset,
        "rows": done.rows,
        "inserted": done.inserted,
        "updated": done.updated,
        "skipped": done.skipped,
        "superseded": done.superseded,
        "rejected": done.rejected,
        "expiring": done.expiring,
        "continued": done.continued,
        "rounded": dict(done.rounded),
        "flagged": dict(done.flagged),
        "seconds": round(done.seconds, 3),
        "dry_run": done.dry_run,
        "files": [
            {
                "file": file.name,
                "rows": file.rows,
                "rejected": file.rejected,
                "reasons": dict(file.reasons),
                "rejects": None if file.rejects is None else str(file.rejects),
            }
            for file in done.files
        ],
    }
