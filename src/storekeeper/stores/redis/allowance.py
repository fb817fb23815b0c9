"""The answer of a rate limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a call may go on: `count` of `limit` are used in this window, `remaining` are left.

    `retry_after` is how long a refused caller has to wait; zero where the call is allowed.
    """

    allowed: bool
    count: int
    limit: int
    remaining: int
    retry_after: timedelta


def to_allowance(answer: Sequence[int], limit: int) -> Allowance:
    """Reads the answer of rate_limit.lua: {allowed, count, milliseconds left}."""
    allowed, count, left_ms = answer
    return Allowance(
        bool(allowed), count, limit, max(limit - count, 0), timedelta(milliseconds=0 if allowed else left_ms)
    )
