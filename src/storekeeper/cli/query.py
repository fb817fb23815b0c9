"""query: bars, rows or documents, as a table on the terminal, as a file, or as lines for a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from storekeeper.cli.failing import reported
from storekeeper.cli.grid import grid
from storekeeper.cli.options import CatalogPath, Directory, Json, before, clock_or_moment, moment, span
from storekeeper.cli.output import console, counted, emit_json, table, text
from storekeeper.errors import InputError

if TYPE_CHECKING:
    from storekeeper.analytics.asking import Request
    from storekeeper.analytics.datasets import Source
    from storekeeper.analytics.explaining import Explanation
    from storekeeper.analytics.export import Target
    from storekeeper.platform import Platform

Format = Literal["csv", "ndjson", "parquet", "png"]
_CHOOSE = "--from, --to or --last choose another"


def query(
    dataset: Annotated[str, typer.Argument(help="A series, rollup, table or collection: invest.intraday_prices.")],
    symbol: Annotated[
        list[str] | None, typer.Option("--symbol", "-s", help="A key of the series; may be repeated.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="column=value; also !=, <, <=, >, >=; column= is what is empty. May be repeated: all must hold, and"
            " of several column=… any.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="The first moment; UTC where it has no zone.", show_default="a day before --to"),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", help="The first moment that is not in it.", show_default="after the newest row"),
    ] = None,
    last: Annotated[
        str | None, typer.Option("--last", help="Instead of --from: this long before --to (or now), such as 7d.")
    ] = None,
    bars: Annotated[str | None, typer.Option("--bars", help="Bars of this width, such as 5m, 1h, 1d.")] = None,
    gaps: Annotated[
        Literal["none", "null", "last", "linear"],
        typer.Option(help="Bars of buckets without a row: left out, empty, the last close, or on the line between."),
    ] = "none",
    zone: Annotated[
        str | None,
        typer.Option(
            "--zone",
            help="Whose days bars are of, and what a table or a picture shows times in: Europe/London. Files: UTC.",
            show_default="UTC",
        ),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option("--origin", help="Where bars are counted from: 09:30 (of each day, in --zone), or a moment."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Columns, with commas between them.", show_default="all but secrets")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="At most so many rows, the newest.", show_default="50; into a file all"),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option("--time-column", help="What a range of a table is of.", show_default="created_at, or as declared"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .csv or .ndjson file (also .gz, .zst), .parquet or .png; - is a pipe."),
    ] = None,
    format: Annotated[  # noqa: A002  # the option's name
        Format | None,
        typer.Option("--format", help="What to write, whatever the ending; csv or ndjson to a pipe."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="What would be asked of the store, and its plan; runs nothing.")
    ] = False,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Reads a dataset: bars, rows or documents of a range of time (UTC), or rows of a table.

    Without a range it is the day that ends with the newest row, of a table all rows.
    """
    with reported(as_json=as_json):
        from storekeeper.analytics.asking import SHOWN, Request, check
        from storekeeper.analytics.comparisons import parse

        sink = _sink(output, format, as_json=as_json)
        every = span("--bars", bars) if bars else None
        if start is not None and last is not None:
            raise InputError(
                "--from and --last are both given",
                operation="query",
                target=dataset,
                hint="give the first moment, or how long before --to it is",
            )
        request = Request(
            dataset,
            moment("--from", start),
            moment("--to", end),
            keys=tuple(symbol or ()),
            where=tuple(map(parse, where or ())),
            every=every,
            columns=tuple(name.strip() for name in columns.split(",")) if columns else None,
            limit=limit or (SHOWN if sink.whole else None),
            time_column=time_column,
            gaps=gaps,
            zone=zone,
            origin=clock_or_moment("--origin", origin),
        )
        if last is not None:
            span("--last", last)
        with _opened(directory, catalog, request) as (platform, source):
            if last is not None:
                until = request.end or platform.clock.now()
                request = replace(request, start=before(until, "--last", last), end=until)
            check(source, request)
            request, said = _ranged(platform, source, request)
            if explain:
                _explain(platform, request, as_json=as_json)
                return
            sink.show(platform, source, request, f"{', '.join(symbol or [dataset])} {bars or ''}".strip(), said)


@dataclass(frozen=True)
class _Sink:
    """Where an answer goes: a file, lines on standard output, JSON, or else a table."""

    target: Target | None
    lines: str | None
    as_json: bool

    @property
    def whole(self) -> bool:
        """Whether the answer is held, and shown, as a whole."""
        return self.target is None and self.lines is None

    def show(self, platform: Platform, source: Source, request: Request, title: str, said: str) -> None:
        """Reads, writes, and says on standard error what was written and what was left out."""
        from storekeeper.analytics.export import export
        from storekeeper.analytics.reading import answering

        with answering(platform, request) as answer:
            notes = [f"the newest; --limit {request.limit}"] if answer.cut else []
            notes += [said] if said else []
            if answer.hidden:
                notes.append(f"not shown: {', '.join(answer.hidden)}; --columns names them")
            where_to = ""
            if self.target is not None:
                time = "bucket" if request.every is not None else source.time
                if self.target.format == "png" and (time is None or source.kind in ("table", "collection")):
                    raise InputError(
                        f"is a {source.kind}, and pictures are of series",
                        operation="plot",
                        target=request.dataset,
                        hint="write it to .csv, .ndjson or .parquet",
                    )
                rows = export(answer, self.target, title=title, time=time or "", key=source.key, zone=request.zone)
                where_to = f" → {self.target.path}"
                if self.as_json:
                    emit_json({"file": str(self.target.path), "rows": rows, "from": request.start, "to": request.end})
            elif self.lines is not None:
                rows = _pipe(answer, self.lines)
            else:
                held = [row for batch in answer.batches for row in batch]
                rows = len(held)
                if self.as_json:
                    _emit_rows(answer.columns, held)
                elif rows:
                    notes += print_grid([column.name for column in answer.columns], _in_zone(held, request.zone))
                    notes += [f"times in {request.zone}"] if request.zone else []
        if not rows:
            notes = [_where_it_lies(platform, source, request)]
        told = "; ".join(note for note in notes if note)
        if not (self.as_json and not told):
            _say(f"{counted(rows, 'row')}{where_to}" + (f" ({told})" if told else ""))


def _sink(output: Path | None, format: str | None, *, as_json: bool) -> _Sink:  # noqa: A002  # the option's name
    """Where the answer goes. Raises InputError where the options contradict each other."""
    from storekeeper.analytics.export import TEXTS, target_of

    piped = str(output) == "-" or (output is None and format is not None)
    if not piped:
        return _Sink(target_of(output, format) if output is not None else None, None, as_json)
    if format not in TEXTS:
        raise InputError(
            f"{format} is not for a pipe" if format else "say which lines the pipe is to get",
            operation="query",
            target="-o -",
            hint="add --format csv or --format ndjson" + ("; or name a file: -o FILE" if format else ""),
        )
    if as_json:
        raise InputError(
            f"--json and --format {format} are both given",
            operation="query",
            target="--format",
            hint="--json is one list of all rows, --format ndjson an object a line",
        )
    return _Sink(None, format, as_json)


@contextmanager
def _opened(directory: Path | None, catalog: str | None, request: Request) -> Iterator[tuple[Platform, Source]]:
    """The platform, with the one store open that holds the dataset: what else is down does not matter."""
    from storekeeper.analytics.datasets import find
    from storekeeper.catalog import load_catalog
    from storekeeper.platform import connect
    from storekeeper.settings import Settings

    settings = Settings.load(directory=directory, catalog=catalog)
    declared = load_catalog(settings.catalog).only(settings.domains)
    source = find(declared, request.dataset, time_column=request.time_column)
    with connect(stores=(source.store,), directory=directory, catalog=catalog, role="analyst") as platform:
        yield platform, source


def _ranged(platform: Platform, source: Source, request: Request) -> tuple[Request, str]:
    """The request with its range, and what is to be said of a range that nobody gave."""
    from datetime import timedelta

    from storekeeper.analytics.asking import default_range
    from storekeeper.analytics.extent import extent

    if source.kind == "table" or request.start is not None:
        return request, ""
    if request.end is not None:
        newest: datetime | None = request.end - timedelta(milliseconds=1)
        ranged = replace(default_range(newest, replace(request, end=None)), end=request.end)
        return ranged, f"from {text(ranged.start)} UTC: --from or --last choose another"
    newest = extent(platform, request, last=True).last
    ranged = default_range(newest, request)
    if newest is None or ranged.start is None or ranged.end is None:
        return ranged, ""
    if ranged.end - ranged.start == timedelta(days=1):
        return ranged, f"the day up to the newest row, {text(newest)} UTC: {_CHOOSE}"
    return ranged, f"from {text(ranged.start)} UTC to the newest row: {_CHOOSE}"


def print_grid(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Prints rows as a table that fits the terminal; returns what is to be said of it: rounding, columns left out."""
    shown = console()
    made = grid(columns, rows, shown.width)
    for line in made.above:
        shown.print(line, soft_wrap=True)
    if made.header:
        shown.print(made.header, style="bold", soft_wrap=True)
        shown.print(made.rule, style="dim", soft_wrap=True)
    for line in made.rows:
        shown.print(line, soft_wrap=True)
    return list(made.notes)


def _in_zone(rows: Sequence[Sequence[object]], zone: str | None) -> Sequence[Sequence[object]]:
    """Rows whose moments are shown on the clock of a zone."""
    from zoneinfo import ZoneInfo

    if zone is None:
        return rows
    known = ZoneInfo(zone)
    return [
        tuple(v.astimezone(known) if isinstance(v, datetime) and v.tzinfo is not None else v for v in row)
        for row in rows
    ]


def _pipe(answer: Any, lines: str) -> int:
    """Writes lines to standard output, and nothing else."""
    from storekeeper.analytics.export import writable, write_text

    out = sys.stdout.buffer
    try:
        with writable("standard output"):
            return write_text(answer, out, lines)
    except BrokenPipeError:
        # what is left in the buffer has no reader: at its end the interpreter would complain of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _emit_rows(columns: Any, rows: Sequence[Sequence[object]]) -> None:
    """One list of JSON objects on one line: decimals as text, documents as objects."""
    from storekeeper.analytics.lines import objects

    print(f"[{', '.join(objects(columns, rows, decimals_as_text=True))}]")  # noqa: T201  # the program's own output


def _where_it_lies(platform: Platform, source: Source, request: Request) -> str:
    """What to say to who has got nothing: where the rows are."""
    from storekeeper.analytics.asking import comparisons
    from storekeeper.analytics.extent import extent

    found = extent(platform, request)
    asked = ", ".join(map(str, comparisons(source, request)))
    if source.time is None:
        return f"none with {asked}" if asked else "the table is empty"
    if found.first is None or found.last is None:
        if source.kind == "rollup":
            return "the rollup is empty: `storekeeper jobs run rollups` fills it, and --bars needs no refresh"
        gone = f"; rows before {text(found.gone)} UTC were dropped by retention" if found.gone else ""
        return f"the dataset is empty{gone}"
    lie = f"lie from {text(found.first)} to {text(found.last)} UTC"
    if asked and not found.filtered:
        return f"none with {asked} at any time; the dataset's rows {lie}"
    gone = f"; older ones were dropped by retention before {text(found.gone)} UTC" if found.gone else ""
    whose = f"rows with {asked}" if asked else "its rows"
    return f"{whose} {lie}{gone}"


def _explain(platform: Platform, request: Request, *, as_json: bool) -> None:
    from storekeeper.analytics.explaining import explain

    found = explain(platform, request)
    if as_json:
        _emit_explanation(found)
    else:
        _show_explanation(found)


def _emit_explanation(found: Explanation) -> None:
    from storekeeper.analytics.jsontext import json_text

    parts = [{"from": p.start, "to": p.end, "source": p.source, "reason": p.reason} for p in found.parts]
    touched = [{"dataset": t.dataset, "touched": t.chunks, "of": t.of} for t in found.touched]
    told: dict[str, object] = {"dataset": found.dataset, "kind": found.kind, "parts": parts}
    if found.find is not None:
        told |= {"find": found.find}
    else:
        told |= {"sql": found.sql, "parameters": found.parameters, "chunks": touched}
    print(json_text({**told, "plan": found.plan, "note": found.note or None}))  # noqa: T201  # the program's own output


def _show_explanation(found: Explanation) -> None:
    from storekeeper.analytics.jsontext import json_text

    def block(title: str, lines: Sequence[str]) -> None:
        console().print(f"\n{title}", style="bold")
        for line in lines:
            console().print(f"  {line}", soft_wrap=True)

    rows = [(text(p.start) or "the first", text(p.end) or "the last", p.source, p.reason) for p in found.parts]
    table("Answered by", ("from", "to", "source", "because"), rows)
    if found.touched:
        block("Chunks", [f"{t.dataset}: {t.chunks} of {t.of}" for t in found.touched])
    if found.sql is not None:
        block("SQL", found.sql.splitlines())
        block("Values", [f":{name} = {_value(value)}" for name, value in found.parameters.items()] or ["none"])
    if found.find is not None:
        block("MongoDB", [f"{name}: {json_text(value)}" for name, value in found.find.items()])
    if isinstance(found.plan, Mapping):
        block("Plan (of the server, not run)", [f"{name}: {json_text(value)}" for name, value in found.plan.items()])
    elif found.plan is not None:
        block("Plan (EXPLAIN, not run)", found.plan)
    if found.note:
        block("Plan", [found.note])


def _value(value: object) -> str:
    from storekeeper.analytics.jsontext import json_text

    return json_text(value)


def _say(line: str) -> None:
    console(stderr=True).print(line)
