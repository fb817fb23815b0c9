"""Text, JSON, UUID and BYTEA columns."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from storekeeper.stores.sql.arrow import Array, pa, pc
from storekeeper.stores.sql.intake.kinds import Kind
from storekeeper.stores.sql.intake.misfit import Misfit, first_true, first_valid, python_value
from storekeeper.stores.sql.intake.strict_json import StrictJsonError, members_once, no_constant

_UUID = r"^(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{32})$"
_NIL = "00000000000000000000000000000000"


def to_texts(array: Array, kind: Kind) -> Array:
    """Texts without NUL bytes and, where the column has a length, of at most so many characters."""
    if not pa.types.is_string(array.type):
        row = first_valid(array)
        raise Misfit(row, python_value(array, row), f"is {array.type}, not text")
    _, offsets, content = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32, count=array.offset + len(array) + 1)[array.offset :]
    raw = np.frombuffer(content, dtype=np.uint8) if content is not None else np.empty(0, dtype=np.uint8)
    if (raw[bounds[0] : bounds[-1]] == 0).any():
        row = first_true(pc.match_substring(array, "\0").fill_null(False).to_numpy(zero_copy_only=False))
        raise Misfit(row, python_value(array, row), "has a NUL byte, which PostgreSQL's text cannot hold")
    # no text has more characters than bytes: they are counted only where there are enough bytes
    if kind.length is not None and len(array) and int(np.diff(bounds).max()) > kind.length:
        lengths = pc.utf8_length(array).fill_null(0).to_numpy(zero_copy_only=False)
        if lengths.max() > kind.length:
            row = first_true(lengths > kind.length)
            raise Misfit(row, python_value(array, row), f"has {lengths[row]} characters, {kind} holds {kind.length}")
    return array


def to_json(array: Array, kind: Kind) -> Array:
    """JSON texts, each read once to be sure; structs, lists and maps become JSON."""
    if not pa.types.is_string(array.type):
        return pa.array([json_text(row, value) for row, value in enumerate(array.to_pylist())], pa.string())
    for row, text in enumerate(array.to_pylist()):
        if text is not None:
            _check_json(row, text, kind)
    return array


def json_text(row: int, value: Any) -> str | None:
    """A Python value as JSON; a str is taken for JSON text as it is."""
    if value is None or isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Misfit(row, value, f"is no JSON: {error}") from error


def _check_json(row: int, text: str, kind: Kind) -> None:
    try:
        value = json.loads(
            text, parse_constant=no_constant, object_pairs_hook=members_once if kind.name == "jsonb" else None
        )
    except StrictJsonError as error:
        raise Misfit(row, text, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise Misfit(row, text, f"is no JSON: {error}") from error
    if "\0" in text or (kind.name == "jsonb" and "\\u" in text and _unstorable(value)):
        raise Misfit(row, text, "holds a character that JSONB cannot hold")


def _unstorable(value: object) -> bool:
    """True where a text of the value has a NUL, or half of a surrogate pair."""
    if isinstance(value, str):
        return "\0" in value or any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return any(_unstorable(key) or _unstorable(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_unstorable, value))


def to_uuids(array: Array) -> Array:
    """UUIDs as 16 bytes, of 16 bytes or of texts with or without hyphens."""
    type_ = array.type
    if type_ == pa.binary(16):
        return array
    if pa.types.is_binary(type_):
        lengths = pc.binary_length(array).fill_null(16).to_numpy(zero_copy_only=False)
        if (lengths != 16).any():
            row = first_true(lengths != 16)
            raise Misfit(row, python_value(array, row), f"has {lengths[row]} bytes, a UUID has 16")
        return pc.cast(array, pa.binary(16))
    if not pa.types.is_string(type_):
        row = first_valid(array)
        raise Misfit(row, python_value(array, row), f"is {type_}, not a UUID")
    right = pc.match_substring_regex(array, _UUID).fill_null(True).to_numpy(zero_copy_only=False)
    if not right.all():
        row = first_true(~right)
        raise Misfit(row, python_value(array, row), "is no UUID")
    digits = pc.replace_substring(array.fill_null(_NIL), "-", "")
    raw = bytes.fromhex("".join(digits.to_pylist()))
    present = array.is_valid().to_numpy(zero_copy_only=False)
    validity = None if present.all() else pa.array(present).buffers()[1]
    return pa.Array.from_buffers(pa.binary(16), len(array), [validity, pa.py_buffer(raw)])


def to_bytes(array: Array) -> Array:
    """Bytes of any binary column."""
    if pa.types.is_binary(array.type):
        return array
    if pa.types.is_fixed_size_binary(array.type) or pa.types.is_large_binary(array.type):
        return pc.cast(array, pa.binary())
    row = first_valid(array)
    raise Misfit(row, python_value(array, row), f"is {array.type}, not bytes")
