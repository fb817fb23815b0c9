"""Which column of a dataset comes from what of a file: `column=SOURCE`, `column=value`, or the same name. Pure.

SOURCE is a column of the file, a template ('{symbol}@{market}'; doubled braces stand for themselves), or mid(bid,ask).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from storekeeper.errors import ColumnError

_MID = re.compile(r"mid\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*\)")


@dataclass(frozen=True, slots=True)
class FromColumn:
    """A column of the file, as it is."""

    name: str

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.name,)


@dataclass(frozen=True, slots=True)
class FromTemplate:
    """Texts put together: `literals[0]`, column, `literals[1]`, …, `literals[-1]`. A NULL in it makes it NULL."""

    literals: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        return self.columns


@dataclass(frozen=True, slots=True)
class FromMid:
    """Half of the sum of two columns, exact, with one decimal more than they have."""

    bid: str
    ask: str

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.bid, self.ask)


@dataclass(frozen=True, slots=True)
class FromConstant:
    """The same text in every row."""

    text: str

    @property
    def needs(self) -> tuple[str, ...]:
        return ()


ColumnSource: TypeAlias = FromColumn | FromTemplate | FromMid | FromConstant


def parse_source(text: str) -> ColumnSource:
    """The source that a SOURCE means. Raises ColumnError."""
    bare = text.strip()
    if match := _MID.fullmatch(bare):
        return FromMid(match[1], match[2])
    if "{" in bare or "}" in bare:
        return _template(bare)
    if not bare:
        raise ColumnError("names no source", operation="map", hint="write it like price=close")
    return FromColumn(bare)


def parse_map(options: Iterable[str]) -> dict[str, ColumnSource]:
    """`--map column=SOURCE` options by column. Raises ColumnError where one is no such, or names a column again."""
    return {column: parse_source(text) for column, text in _pairs(options, "map").items()}


def parse_set(options: Iterable[str]) -> dict[str, str]:
    """`--set column=value` options by column. Raises ColumnError where one is no such, or names a column again."""
    return _pairs(options, "set")


def resolve(
    header: Sequence[str],
    columns: Collection[str],
    mapping: Mapping[str, ColumnSource],
    constants: Mapping[str, str],
    *,
    version: str | None = None,
    has: Callable[[str], bool] | None = None,
    skip_unknown: bool,
    operation: str,
    target: str,
) -> dict[str, ColumnSource]:
    """The source of every column of the dataset that has one, for a file with this header.

    Columns of the same name map themselves. Without any mapping, a column of the file that the dataset does not have is
    an error, unless `skip_unknown` or it is the `version`; with one, what it leaves out was left out on purpose. `has`
    says what the file has besides its header's columns: what lies in them.
    Raises ColumnError: a header that names a column twice, an unknown column on either side, a column both mapped and
    set, a file of which nothing is taken.
    """
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise ColumnError(f"the header names {_listed(twice)} twice", operation=operation, target=target)
    both = [name for name in mapping if name in constants]
    if both:
        raise ColumnError(f"{_listed(both)} is both mapped and set", operation=operation, target=target)
    for name in (*mapping, *constants):
        if name not in columns:
            raise ColumnError(f"no column {name}", operation=operation, target=target, hint=_close(name, columns))
    needed = [name for source in mapping.values() for name in source.needs] + ([version] if version else [])
    for name in needed:
        if name not in header and not (has is not None and has(name)):
            raise ColumnError(
                f"the file has no column {name}", operation=operation, target=target, hint=_close(name, header)
            )
    unknown = [name for name in header if name not in columns and name != version]
    if unknown and not mapping and not skip_unknown:
        raise ColumnError(
            f"the file's column {_listed(unknown)} is none of the dataset's",
            operation=operation,
            target=target,
            hint=f"the dataset has {', '.join(columns)}; map what is meant, or skip what is unknown",
        )
    found: dict[str, ColumnSource] = {}
    for name in columns:
        if name in mapping:
            found[name] = mapping[name]
        elif name in constants:
            found[name] = FromConstant(constants[name])
        elif name in header:
            found[name] = FromColumn(name)
    if not any(source.needs for source in found.values()):
        raise ColumnError(
            "none of the file's columns is one of the dataset's",
            operation=operation,
            target=target,
            hint=f"the dataset has {', '.join(columns)}; the file has {', '.join(header) or 'none'}",
        )
    return found


def _template(text: str) -> FromTemplate:
    literals: list[str] = [""]
    columns: list[str] = []
    try:
        for literal, name, form, conversion in string.Formatter().parse(text):
            literals[-1] += literal
            if name is None:
                continue
            if not name or form or conversion:
                raise ColumnError(f"{text!r} is no template", operation="map", hint="write it like '{symbol}@{market}'")
            columns.append(name)
            literals.append("")
    except ValueError as error:
        raise ColumnError(
            f"{text!r} is no template: {error}", operation="map", hint="write it like '{symbol}@{market}'"
        ) from error
    return FromTemplate(tuple(literals), tuple(columns))


def _pairs(options: Iterable[str], option: str) -> dict[str, str]:
    result: dict[str, str] = {}
    for text in options:
        column, equals, value = text.partition("=")
        column = column.strip()
        if not equals or not column:
            raise ColumnError(f"{text!r} is no column=…", operation=option, hint=f"write it like --{option} column=…")
        if column in result:
            raise ColumnError(f"{column} stands twice", operation=option)
        result[column] = value
    return result


def _close(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=3) or [other for other in known if other.lower() == name.lower()]
    return f"close to it: {', '.join(close)}" if close else f"there are: {', '.join(known)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
