"""What the fields of a model may hold, by their annotations. Pure."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin


def members(annotation: Any) -> tuple[Any, ...]:
    """What a value may be: the members of a union but None, the type that an Annotated or a pydantic time stands for,
    the origin of a generic; a Literal is the types of its values. Any where it is open."""
    from datetime import datetime

    from pydantic import AwareDatetime, FutureDatetime, NaiveDatetime, PastDatetime

    origin = get_origin(annotation)
    if origin is Literal:
        return tuple(dict.fromkeys(type(value) for value in get_args(annotation)))
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        inner = (one for part in get_args(annotation) if part is not type(None) for one in members(part))
        return tuple(dict.fromkeys(inner))
    if annotation in (AwareDatetime, NaiveDatetime, PastDatetime, FutureDatetime):
        return (datetime,)
    return (annotation if origin is None else origin,)
