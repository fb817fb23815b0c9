"""A sealed value opens in its own place, whole and unchanged, and nowhere else."""

from __future__ import annotations

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import assume, given, strategies as st

from storekeeper.errors import InputError, SealedValueError
from storekeeper.sealing.sealed_value import Place, open_with, parse, seal_with

KEY, KEY_ID = bytes(range(32)), bytes(range(16))

texts = st.text(st.characters(codec="utf-8"), max_size=60)
names = st.text(string.ascii_lowercase + "._0123456789-", min_size=1, max_size=20)
places = st.builds(Place, names, names, st.none() | names)


@given(text=texts, place=places)
def test_what_is_sealed_opens_to_the_same_text(text: str, place: Place) -> None:
    sealed = seal_with(KEY, KEY_ID, text, place)
    assert sealed.isascii()
    assert open_with(KEY, parse(sealed, place), place) == text


@given(text=texts, place=places)
def test_the_same_text_is_never_sealed_alike(text: str, place: Place) -> None:
    assert seal_with(KEY, KEY_ID, text, place) != seal_with(KEY, KEY_ID, text, place)


@given(place=places, other=places)
def test_a_value_that_was_moved_does_not_open(place: Place, other: Place) -> None:
    assume(place != other)
    value = parse(seal_with(KEY, KEY_ID, "+49 170 1234567", place), place)
    with pytest.raises(SealedValueError) as refused:
        open_with(KEY, value, other)
    assert "170" not in str(refused.value)


@given(left=names, right=names, cut=st.integers(0, 19))
def test_no_two_places_are_bound_alike(left: str, right: str, cut: int) -> None:
    """The border between column, row and person counts, not only their letters."""
    whole = left + right
    assume(0 < cut < len(whole))
    one, two = Place(left, right), Place(whole[:cut], whole[cut:])
    assert (one.bound_to(KEY_ID) == two.bound_to(KEY_ID)) == (one == two)
    assert one.bound_to(KEY_ID) != Place(left, right, right).bound_to(KEY_ID)


@given(text=texts, data=st.data())
def test_a_value_with_any_bit_flipped_does_not_open(text: str, data: st.DataObject) -> None:
    place = Place("defi.users.telegram_chat_id", "1", "1")
    sealed = seal_with(KEY, KEY_ID, text, place)
    raw = bytearray(urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    changed = urlsafe_b64encode(raw).rstrip(b"=").decode()
    with pytest.raises(SealedValueError):
        open_with(KEY, parse(changed, place), place)


@given(data=st.data())
def test_a_value_with_any_character_changed_does_not_open(data: st.DataObject) -> None:
    """The last character has bits that base64 passes over."""
    place = Place("a.b.c", "1")
    sealed = seal_with(KEY, KEY_ID, "xy" * data.draw(st.integers(0, 3)) + "z", place)
    at = data.draw(st.integers(0, len(sealed) - 1) | st.just(len(sealed) - 1))
    letter = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_+/= \n"))
    changed = sealed[:at] + letter + sealed[at + 1 :]
    assume(changed != sealed)
    with pytest.raises(SealedValueError):
        open_with(KEY, parse(changed, place), place)


@given(junk=st.text(max_size=100))
def test_what_is_no_sealed_value_is_refused_and_not_repeated(junk: str) -> None:
    with pytest.raises(SealedValueError) as refused:
        parse(junk, Place("column", "row"))
    with pytest.raises(SealedValueError) as nothing:
        parse("", Place("column", "row"))
    assert str(refused.value) == str(nothing.value)  # whatever it was, the same is said of it


@pytest.mark.parametrize("place", [("", "1", None), ("a.b.c", "", None), ("a.b.c", "1", "")])
def test_a_place_has_all_its_parts(place: tuple[str, str, str | None]) -> None:
    with pytest.raises(InputError):
        Place(*place)


def test_half_a_character_is_refused_and_the_text_not_repeated() -> None:
    with pytest.raises(InputError) as refused:
        seal_with(KEY, KEY_ID, "secret \ud83d", Place("a.b.c", "1"))
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None
