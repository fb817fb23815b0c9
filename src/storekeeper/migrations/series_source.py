"""A declared series as the Python of a revision: a function that returns it, in literals. Pure."""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import render_python_code
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy.sql import operators

from storekeeper.catalog import Hypertable, Measure, Rollup
from storekeeper.migrations.drafting import quoted_text
from storekeeper.span import Span

_WIDTH = 110
_LENGTHS = (("days", timedelta(days=1)), ("hours", timedelta(hours=1)), ("minutes", timedelta(minutes=1)))
#: What is something else in the file already.
_TAKEN = {*keyword.kwlist, "sa", "postgresql", "upgrade", "downgrade", "revision", "down_revision", "online", "table"}
_TAKEN |= {"days", "hours", "microseconds", "minutes", "months", "seconds", "years", "depends_on", "branch_labels"}
_SORTED = {
    operators.desc_op: "desc",
    operators.asc_op: "asc",
    operators.nulls_first_op: "nulls_first",
    operators.nulls_last_op: "nulls_last",
}


class SeriesSource:
    """Writes series, and keeps what they need: imports, and `definitions`, measures first, in the order of use."""

    def __init__(self) -> None:
        self.definitions: list[str] = []
        self._measures: dict[tuple[Measure, ...], str] = {}
        self._names: dict[str, str] = {}
        self._vocabulary: set[str] = set()
        self._dialect = False

    @property
    def header(self) -> tuple[str, ...]:
        """The imports of what was written."""
        lines = ["import sqlalchemy as sa"]
        lines += ["from sqlalchemy.dialects import postgresql"] if self._dialect else []
        line = f"from storekeeper import {', '.join(sorted(self._vocabulary, key=_as_isort))}"
        return (*lines, "", *([line] if self._vocabulary else []))

    def series(self, hypertable: Hypertable, before: Hypertable | None = None) -> tuple[str, str]:
        """The calls that return it, and what it was before, whose table is the same; each is written once."""
        name = self._name(hypertable)
        table = self._table(hypertable.table)
        if before is None:
            self._function(f"{name}() -> Hypertable", *table, *self._hypertable(hypertable, "table"))
            return f"{name}()", ""
        self._function(f"{name}_table() -> sa.Table", *table, "return table")
        self._function(f"{name}() -> Hypertable", *self._hypertable(hypertable, f"{name}_table()"))
        self._function(f"{name}_before() -> Hypertable", *self._hypertable(before, f"{name}_table()"))
        return f"{name}()", f"{name}_before()"

    def _function(self, signature: str, *lines: str) -> None:
        self.definitions.append("\n".join([f"def {signature}:", *(f"    {line}" for line in lines)]))

    def _name(self, hypertable: Hypertable) -> str:
        """A word of Python that nothing else is called by."""
        name = re.sub(r"\W", "_", hypertable.table.name.lower(), flags=re.ASCII)
        name = f"series_{name}" if name in _TAKEN or not name.isidentifier() else name
        taken = {f"{one}{end}" for one in self._names.values() for end in ("", "_table", "_before")}
        while name in taken:
            name += "_"
        return self._names.setdefault(hypertable.name, name)

    def _table(self, table: sa.Table) -> list[str]:
        (call,) = (
            node
            for node in ast.walk(ast.parse(self._created(table)))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "create_table"
        )
        parts = [_double(ast.unparse(_Plain().visit(part))) for part in call.args[1:]]
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        return [
            "table = sa.Table(",
            f"    {quoted_text(table.name)},",
            f"    sa.MetaData(schema={quoted_text(str(table.schema))}),",
            *(f"    {part}," for part in parts),
            *(f"    {_index(index)}," for index in indexes if not _of_columns(index)),
            ")",
            *(_index(index) for index in indexes if _of_columns(index)),
        ]

    def _created(self, table: sa.Table) -> str:
        context = MigrationContext.configure(dialect_name="postgresql")
        made = ops.UpgradeOps([ops.CreateTableOp.from_table(table)])
        text = str(render_python_code(made, migration_context=context))
        self._dialect = self._dialect or "postgresql." in text
        return "\n".join(line.strip() for line in text.splitlines() if not line.strip().startswith("#"))

    def _hypertable(self, hypertable: Hypertable, table: str) -> list[str]:
        self._vocabulary.add("Hypertable")
        fields = [f"time={quoted_text(hypertable.time)}", f"chunk={self._span(hypertable.chunk)}"]
        names = {name: getattr(hypertable, name) for name in ("natural_key", "segment_by", "order_by")}
        fields += [f"{name}={_tuple(map(quoted_text, value))}" for name, value in names.items() if value]
        spans = {name: getattr(hypertable, name) for name in ("compress_after", "drop_after")}
        fields += [f"{name}={self._span(span)}" for name, span in spans.items() if span]
        if hypertable.late_rows != "refuse":
            fields.append(f"late_rows={quoted_text(hypertable.late_rows)}")
        lines = ["return Hypertable(", f"    {table},", *(f"    {one}," for one in fields)]
        if hypertable.rollups:
            lines += ["    rollups=(", *(f"        {self._rollup(one)}," for one in hypertable.rollups), "    ),"]
        return [*lines, ")"]

    def _rollup(self, rollup: Rollup) -> str:
        self._vocabulary.add("Rollup")
        fields = [quoted_text(rollup.name), f"every={self._span(rollup.every)}"]
        fields += [f"by={_tuple(map(quoted_text, rollup.by))}", f"measures={self._named(rollup.measures)}"]
        fields += [f"keep={self._span(rollup.keep)}"] if rollup.keep else []
        # what it is by default may be something else one day
        return f"Rollup({', '.join([*fields, f'chunk={self._span(rollup.chunk_span)}'])})"

    def _named(self, measures: tuple[Measure, ...]) -> str:
        """The constant that holds measures; those of several rollups are often the same."""
        if measures in self._measures:
            return self._measures[measures]
        self._vocabulary |= {"Measure", "Aggregate"}
        count = len(self._measures)
        name = self._measures[measures] = "MEASURES" if not count else f"MEASURES_{count + 1}"
        lines = [f"    {_measure(one)}," for one in measures]
        self.definitions.insert(count, "\n".join([f"{name} = (", *lines, ")"]))
        return name

    def _span(self, span: Span) -> str:
        word, number = _counted(span)
        self._vocabulary.add(word)
        return f"{word}({number})"


class _Plain(ast.NodeTransformer):
    """Names as they are: op.f("…") says that a name follows a convention already, and here there is none."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func) == "op.f":
            return node.args[0]
        return node


def _counted(span: Span) -> tuple[str, int]:
    if span.calendar:
        years, rest = divmod(span.months, 12)
        return ("months", span.months) if rest else ("years", years)
    for word, length in (*_LENGTHS, ("seconds", timedelta(seconds=1))):
        number, remainder = divmod(span.duration, length)
        if not remainder:
            return word, number
    return "microseconds", span.duration // timedelta(microseconds=1)


def _measure(measure: Measure) -> str:
    columns = f", {_tuple(map(quoted_text, measure.columns))}" if measure.columns else ""
    return f"Measure({quoted_text(measure.name)}, Aggregate.{measure.aggregate.name}{columns})"


def _of_columns(index: sa.Index) -> bool:
    """Whether it can be written by columns of the table: expressions of other kinds are text, and stand within it."""
    return all(_term(expression) for expression in index.expressions)


def _index(index: sa.Index) -> str:
    by_columns = _of_columns(index)
    terms = [_term(one) if by_columns else _text_term(one) for one in index.expressions]
    options = ["unique=True"] if index.unique else []
    for name, value in sorted(index.dialect_kwargs.items()):
        if value is None or value is False or (isinstance(value, (tuple, list, dict)) and not value):
            continue
        said = f"sa.text({quoted_text(_sql(value))})" if isinstance(value, sa.ClauseElement) else _double(repr(value))
        options.append(f"{name}={said}")
    return f"sa.Index({', '.join([quoted_text(str(index.name)), *map(str, terms), *options])})"


def _term(expression: Any) -> str | None:
    """A column, or one in an order, as Python; None of what is neither."""
    if isinstance(expression, sa.Column):
        name = expression.name
        return (
            f"table.c.{name}"
            if name.isidentifier() and not keyword.iskeyword(name)
            else (f"table.c[{quoted_text(name)}]")
        )
    if isinstance(expression, sa.UnaryExpression) and expression.modifier in _SORTED:
        inner = _term(expression.element)
        return f"{inner}.{_SORTED[expression.modifier]}()" if inner else None
    return None


def _text_term(expression: Any) -> str:
    if isinstance(expression, sa.Column):
        return quoted_text(expression.name)
    return f"sa.text({quoted_text(_sql(expression))})"


def _sql(expression: Any) -> str:
    from sqlalchemy.dialects import postgresql

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    literal = {"literal_binds": True, "include_table": False}
    return str(expression.compile(dialect=dialect, compile_kwargs=literal)).replace("%%", "%")


def _tuple(terms: Iterable[str]) -> str:
    found: Sequence[str] = list(terms)
    return f"({', '.join(found)},)" if len(found) == 1 else f"({', '.join(found)})"


def _double(source: str) -> str:
    """Python in which texts stand in double quotes."""
    tokens = [
        token._replace(string=quoted_text(ast.literal_eval(token.string))) if token.type == tokenize.STRING else token
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
    ]
    return "".join(_spaced(tokens)).strip()


def _spaced(tokens: Sequence[tokenize.TokenInfo]) -> Iterable[str]:
    end = 0
    for token in tokens:
        if token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.ENDMARKER):
            continue
        yield " " * (token.start[1] - end) + token.string
        end = token.end[1]


def _as_isort(name: str) -> tuple[bool, str]:
    """Classes first, then functions."""
    return name[0].islower(), name
