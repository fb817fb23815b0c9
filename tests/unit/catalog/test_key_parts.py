"""Keys from their parts: no two different pairs of parts share one."""

from __future__ import annotations

import pytest

from store_models import LIMITED, SESSION
from storekeeper.errors import InputError


def test_a_key_is_its_pattern_filled_in() -> None:
    assert LIMITED.key(user_id="u", endpoint="GET:/a") == "ratelimit:u:GET:/a"


@pytest.mark.parametrize(
    "parts",
    [{"user_id": "u:GET", "endpoint": "/a"}, {"user_id": "", "endpoint": "e"}, {"user_id": None, "endpoint": "e"}],
)
def test_parts_that_would_make_another_key_are_refused(parts: dict[str, object]) -> None:
    with pytest.raises(InputError):
        LIMITED.key(**parts)


def test_parts_must_be_those_of_the_pattern() -> None:
    with pytest.raises(InputError, match="session_id"):
        SESSION.key(user_id="u")
