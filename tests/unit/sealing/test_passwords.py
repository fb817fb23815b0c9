"""Passwords match themselves alone; tokens and their digests."""

from __future__ import annotations

import bcrypt
import pytest
from hypothesis import assume, given, settings, strategies as st

from storekeeper import digest, hash_password, new_token, password_matches

passwords = st.text(max_size=90)


@settings(max_examples=40)
@given(password=passwords, other=passwords)
def test_a_password_matches_its_hash_and_no_other_does(password: str, other: str) -> None:
    assume(password != other)
    hashed = hash_password(password, cost=4)
    assert len(hashed) == 60
    assert password_matches(password, hashed)
    assert not password_matches(other, hashed)


@pytest.mark.parametrize("tail", ["a", "ä", "\0"])
def test_every_byte_of_a_long_password_counts(tail: str) -> None:
    hashed = hash_password("x" * 72 + tail, cost=4)
    assert not password_matches("x" * 72 + "b", hashed)
    assert not password_matches("x" * 72, hashed)
    assert password_matches("x" * 72 + tail, hashed)


def test_an_ordinary_password_is_plain_bcrypt() -> None:
    assert bcrypt.checkpw(b"correct horse", hash_password("correct horse", cost=4).encode())
    assert hash_password("correct horse", cost=4).startswith("$2b$04$")


def test_two_keyboards_write_one_password() -> None:
    assert password_matches("cafe\u0301", hash_password("caf\u00e9", cost=4))


@pytest.mark.parametrize("hashed", ["", "!", "erased", "$2b$04$short", "$2b$99$" + "a" * 53])
def test_what_is_no_hash_matches_nothing(hashed: str) -> None:
    assert not password_matches("", hashed)
    assert not password_matches(hashed, hashed)


def test_nobody_has_no_password() -> None:
    assert not password_matches("", None)


def test_tokens_are_new_and_digests_are_sha256() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_half_a_character_in_a_token_has_a_digest_too() -> None:
    assert len(digest("\ud800")) == 64
    assert digest("\ud800") != digest("?")
