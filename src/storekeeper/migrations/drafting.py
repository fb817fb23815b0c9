"""What a comparison found, as the Python of a revision: literal SQL, and the operations that stop nobody. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from alembic.operations import ops

from storekeeper.migrations.rendering import operations_sql

_ROW = 110


@dataclass(frozen=True, slots=True)
class Draft:
    """What a revision does, both ways, as statements of Python; the operations it imports; whether it is online.

    `header` are imports of other kinds, `definitions` what stands before the functions, a block each.
    """

    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    online: bool = False
    header: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()


def drafted(up: Sequence[ops.MigrateOperation], down: Sequence[ops.MigrateOperation]) -> Draft:
    """The draft of Alembic's operations. It is online where a table that is there is changed or dropped."""
    upward, downward = flat(up), flat(down)
    own = {table_of(op) for op in (*upward, *downward) if isinstance(op, ops.CreateTableOp)}
    online = any(table_of(op) not in own for op in upward)
    calls: set[str] = set()
    return Draft(
        tuple(line for op in upward for line in _lines(op, online, own, calls)),
        tuple(line for op in downward for line in _lines(op, online, own, calls)),
        tuple(sorted(calls)),
        online,
    )


def hinted(draft: Draft) -> tuple[Draft, tuple[str, ...]]:
    """A draft of what a comparison found, and what its reader should know."""
    hints = ["read it: comparison sees no renaming, and writes a dropped and a new one for it"]
    if draft.online:
        hints.append("it changes tables that are there: each step has to bear being run a second time")
    return draft, tuple(hints)


def flat(operations: Sequence[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    """Alembic's operations one by one, in their order."""
    found: list[ops.MigrateOperation] = []
    for operation in operations:
        found += flat(operation.ops) if isinstance(operation, ops.ModifyTableOps) else [operation]
    return found


def table_of(operation: ops.MigrateOperation) -> str:
    """The table that an operation is about, with its schema."""
    if isinstance(operation, ops.CreateForeignKeyOp):
        return f"{operation.kw.get('source_schema')}.{operation.source_table}"
    return f"{getattr(operation, 'schema', None)}.{getattr(operation, 'table_name', None)}"


def source(domain: str, sentence: str, revision: str, before: str | None, draft: Draft) -> str:
    """The text of the file. The first revision of a domain makes its schema."""
    up, down, imports = list(draft.up), list(draft.down), set(draft.imports)
    if before is None:
        up.insert(0, f"create_schema({quoted_text(domain)})")
        down.append(f"drop_schema_if_empty({quoted_text(domain)})")
        imports |= {"create_schema", "drop_schema_if_empty"}
    lines = [f'"""{_sentence(sentence)}."""', "", "from __future__ import annotations", ""]
    lines += [*draft.header, ""] if draft.header and not imports else draft.header
    if imports:
        names = sorted(imports)
        line = f"from storekeeper.migrations.operations import {', '.join(names)}"
        many = ["from storekeeper.migrations.operations import (", *(f"    {name}," for name in names), ")"]
        lines += [line] if len(line) <= _ROW else many
        lines.append("")
    lines += [
        f"revision = {quoted_text(revision)}",
        f"down_revision = {quoted_text(before) if before else None}",
        f"branch_labels = {None if before else f'({quoted_text(domain)},)'}",
        "depends_on = None",
        *(["online = True"] if draft.online else []),
    ]
    for definition in draft.definitions:
        lines += ["", "", *definition.splitlines()]
    for name, statements in (("upgrade", up), ("downgrade", down)):
        lines += ["", "", f"def {name}() -> None:", *(f"    {one}" for one in statements or ["pass"])]
    return "\n".join([*lines, ""])


def bracketed(text: str) -> tuple[str, str]:
    """What stands in the bracket that the text begins with, and what comes after it."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return text[1:at], text[at + 1 :]
    return text, ""


def _lines(operation: ops.MigrateOperation, online: bool, own: set[str], calls: set[str]) -> list[str]:
    call = _online_call(operation) if online and table_of(operation) not in own else None
    if call is not None:
        name, *arguments = call
        calls.add(name)
        return [f"{name}({', '.join(arguments)})"]
    name = "execute_alone" if online else "execute_verbatim"
    calls.add(name)
    statements = operations_sql([operation])
    return [f"{name}({_block(_robust(one) if online else one)})" for one in statements]


def _online_call(operation: ops.MigrateOperation) -> tuple[str, ...] | None:
    """The operation for a table that is there, and its arguments as Python; None where there is none of this kind."""
    table = quoted_text(table_of(operation))
    match operation:
        case ops.CreateIndexOp():
            return _index(operation, table)
        case ops.DropIndexOp():
            return "drop_index_concurrently", quoted_text(str(operation.index_name)), table
        case ops.AddColumnOp():
            (statement, *_) = operations_sql([operation])
            definition = " ".join(statement.partition(" ADD COLUMN ")[2].split(" ")[1:])
            return "add_column", table, quoted_text(str(operation.column.name)), quoted_text(definition)
        case ops.DropColumnOp():
            return "drop_column", table, quoted_text(operation.column_name)
        case ops.CreateForeignKeyOp() if operation.constraint_name:
            referred = f"{operation.kw.get('referent_schema')}.{operation.referent_table}"
            rule = operation.kw.get("ondelete")
            return (
                "add_foreign_key",
                table,
                quoted_text(str(operation.constraint_name)),
                _listed(operation.local_cols),
                quoted_text(referred),
                _listed(operation.remote_cols),
                *([f"on_delete={quoted_text(rule)}"] if rule else []),
            )
        case ops.DropConstraintOp() if operation.constraint_name:
            return "drop_constraint", table, quoted_text(str(operation.constraint_name))
        case ops.AlterColumnOp() if _is_of_null_alone(operation):
            name = "drop_not_null" if operation.modify_nullable else "set_not_null"
            return name, table, quoted_text(operation.column_name)
    return None


def _is_of_null_alone(operation: ops.AlterColumnOp) -> bool:
    return (
        operation.modify_nullable is not None
        and operation.modify_type is None
        and operation.modify_name is None
        and operation.modify_server_default is False
    )


def _index(operation: ops.CreateIndexOp, table: str) -> tuple[str, ...]:
    # columns and condition as the server would be told
    (statement,) = operations_sql([operation])
    columns, rest = bracketed(statement[statement.index("(") :])
    using = re.search(r" USING (\w+) \(", statement)
    where = rest.partition(" WHERE ")[2]
    arguments = [quoted_text(str(operation.index_name)), table, f"[{quoted_text(columns)}]"]
    arguments += ["unique=True"] if operation.unique else []
    arguments += [f"using={quoted_text(using[1])}"] if using and using[1] != "btree" else []
    arguments += [f"where={quoted_text(where)}"] if where else []
    return "create_index_concurrently", *arguments


def _robust(statement: str) -> str:
    """The statement, so that it may be run a second time, where SQL has words for that."""
    for begins, how in (
        ("CREATE TABLE ", "IF NOT EXISTS "),
        ("DROP TABLE ", "IF EXISTS "),
        ("DROP INDEX ", "IF EXISTS "),
    ):
        if statement.startswith(begins):
            return f"{begins}{how}{statement.removeprefix(begins)}"
    return re.sub(r"^(CREATE (?:UNIQUE )?INDEX )", r"\1IF NOT EXISTS ", statement)


def _block(statement: str) -> str:
    """A statement as Python: on its own lines where it has several."""
    lines = [line.strip() for line in statement.splitlines() if line.strip()]
    if len(lines) == 1 or '"""' in statement or "\\" in statement:
        return quoted_text(" ".join(lines))
    inner = [f"    {line}" if 0 < at < len(lines) - 1 else line for at, line in enumerate(lines)]
    return '"""\n' + "\n".join(f"        {line}" for line in inner) + '\n    """'


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(map(quoted_text, names))}]"


def quoted_text(text: str) -> str:
    """A text as Python writes it, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}".rstrip(".").replace("\\", "/").replace('"', "'")
