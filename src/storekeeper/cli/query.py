"""query: bars, raw rows or documents, as a table on the terminal or as a file."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storekeeper.cli.options import CatalogPath, Directory, Json, before, moment, opened, span
from storekeeper.cli.output import console, counted, emit_json, fits, table, text
from storekeeper.errors import InputError

#: Characters of a text that are shown.
_LONGEST = 120

if TYPE_CHECKING:
    import pyarrow as pa

    from storekeeper.platform import Platform


def query(
    dataset: Annotated[str, typer.Argument(help="The dataset: invest.intraday_prices, invest.logs, …")],
    symbol: Annotated[
        list[str] | None, typer.Option("--symbol", "-s", help="A key of the series; may be repeated.")
    ] = None,
    where: Annotated[list[str] | None, typer.Option("--where", help="column=value; may be repeated.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="The first moment.", show_default="a day before --to")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="The first moment that is not in it.", show_default="now")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--last", help="Instead of --from: this long before --to, such as 7d.")
    ] = None,
    bars: Annotated[str | None, typer.Option("--bars", help="Bars of this width, such as 5m, 1h, 1d.")] = None,
    columns: Annotated[str | None, typer.Option("--columns", help="Columns, with commas between them.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many rows.")] = 50,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .csv, .parquet or .png file.")] = None,
    directory: Directory = None,
    catalog: CatalogPath = None,
    as_json: Json = False,
) -> None:
    """Reads a dataset between two moments (UTC), newest edge included."""
    with opened(directory, catalog, as_json=as_json, stores=("timescale", "mongo")) as platform:
        from storekeeper.analytics.export import export
        from storekeeper.analytics.reading import Request, read

        until = moment("--to", end) or platform.clock.now()
        since = moment("--from", start) or before(until, "--last", last or "1d")
        if start is not None and last is not None:
            raise InputError(
                "--from and --last are both given",
                operation="query",
                target=dataset,
                hint="give the first moment, or how long before --to it is",
            )
        filters = _filters(where or [])
        if symbol:
            filters[_key_of(platform, dataset)] = list(symbol)
        request = Request(
            dataset,
            since,
            until,
            where=filters,
            every=span("--bars", bars) if bars else None,
            columns=tuple(name.strip() for name in columns.split(",")) if columns else None,
            limit=None if output else limit,
        )
        answer = read(platform, request)
        if output is not None:
            title = f"{', '.join(symbol or [dataset])} {bars or ''}".strip()
            export(answer, output, title=title)
            console(stderr=True).print(f"{counted(answer.num_rows, 'row')} → {output}")
        elif as_json:
            emit_json(answer.to_pylist())
        else:
            show(answer, limit=limit)


def show(answer: pa.Table, *, limit: int) -> None:
    """Prints an Arrow table; where it was cut, the last line says so.

    Where the terminal is too narrow for it, what is the same in all rows is said once, and numbers are rounded to six
    digits, and the last line says so too.
    """
    columns = {name: column.to_pylist() for name, column in zip(answer.column_names, answer.columns, strict=True)}
    columns = {name: [_cut(value) for value in values] for name, values in columns.items()}
    notes = [f"the newest; --limit {limit}"] if answer.num_rows == limit else []
    if answer.num_rows > 1 and not _fit(columns):
        same = {name: values[0] for name, values in columns.items() if len(set(values)) == 1}
        for name, value in same.items():
            console().print(f"{name}: {text(value)}", soft_wrap=True)
        columns = {name: values for name, values in columns.items() if name not in same}
        if not _fit(columns):
            columns = {name: [_rounded(value) for value in values] for name, values in columns.items()}
            notes.append("numbers rounded; --json and -o FILE have them exact")
    table("", list(columns), zip(*columns.values(), strict=True))
    console(stderr=True).print(counted(answer.num_rows, "row") + (f" ({'; '.join(notes)})" if notes else ""))


def _fit(columns: dict[str, list[Any]]) -> bool:
    return fits(list(columns), list(zip(*columns.values(), strict=True)))


def _cut(value: Any) -> Any:
    """A long text is cut: a document's stack trace is no cell of a table."""
    return value if not isinstance(value, str) or len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"


def _rounded(value: Any) -> Any:
    """A number of six digits, or as many as there are before the point."""
    if not isinstance(value, (Decimal, float)):
        return value
    return round(Decimal(value), max(0, 5 - Decimal(value).adjusted()))


def _filters(conditions: list[str]) -> dict[str, list[str]]:
    """column=value, several values of one column meaning any of them."""
    filters: dict[str, list[str]] = {}
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals or not column:
            raise InputError(
                f"{condition!r} is no column=value", operation="query", hint="write it like --where level=error"
            )
        filters.setdefault(column, []).append(value)
    return filters


def _key_of(platform: Platform, dataset: str) -> str:
    """The column that --symbol means: what a hypertable is segmented by, `symbol` elsewhere."""
    for hypertable in platform.catalog.hypertables:
        if hypertable.name == dataset and hypertable.segment_by:
            return hypertable.segment_by[0]
    return "symbol"
