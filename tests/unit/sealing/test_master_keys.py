"""Master keys: read strictly, told apart, and never shown."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given, strategies as st
from pydantic import SecretStr

from storekeeper.errors import MasterKeyError, SealedValueError, SettingsError
from storekeeper.sealing.master_keys import MasterKeys, fingerprint, new_master_key
from storekeeper.settings import Settings, key_bytes


@given(key=st.binary(min_size=32, max_size=32))
def test_both_alphabets_are_read_with_and_without_padding(key: bytes) -> None:
    for encoded in (b64encode(key), urlsafe_b64encode(key)):
        assert key_bytes(encoded.decode()) == key
        assert key_bytes(encoded.decode().rstrip("=") + "\n") == key


@given(text=st.text(max_size=50) | st.binary(max_size=64).map(lambda raw: b64encode(raw).decode()))
def test_anything_else_is_refused(text: str) -> None:
    try:
        taken = key_bytes(text)
    except ValueError:
        return
    assert len(taken) == 32


def test_a_wrong_master_key_is_said_when_settings_are_read_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match=r"master_key: .*base64 of 32 bytes") as refused:
        Settings.load(master_key="hunter2")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(SettingsError, match="base64 of 32 bytes"):
        MasterKeys.of("hunter2")


def test_previous_master_keys_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = new_master_key(), new_master_key()
    monkeypatch.setenv("STOREKEEPER_PREVIOUS_MASTER_KEYS", f"{first}, {second}")
    assert [key.get_secret_value() for key in Settings.load().previous_master_keys] == [first, second]
    assert first not in repr(Settings.load())


def test_the_first_is_in_force_and_the_others_unwrap() -> None:
    old, new = new_master_key(), new_master_key()
    wrapped = MasterKeys.of(old).wrap(fingerprint(key_bytes(old)), b"i" * 16, "p", b"k" * 32)
    both = MasterKeys.of(SecretStr(new), [SecretStr(old)])
    assert both.current == fingerprint(key_bytes(new))
    assert both.unwrap(fingerprint(key_bytes(old)), b"i" * 16, "p", wrapped) == b"k" * 32
    assert new not in repr(both)


def test_a_wrapped_key_belongs_to_its_id_and_holder() -> None:
    keys = MasterKeys.of(new_master_key())
    wrapped = keys.wrap(keys.current, b"i" * 16, "p", b"k" * 32)
    for key_id, holder in ((b"j" * 16, "p"), (b"i" * 16, "q")):
        with pytest.raises(SealedValueError):
            keys.unwrap(keys.current, key_id, holder, wrapped)
    with pytest.raises(MasterKeyError, match="0123456789abcdef"):
        keys.unwrap("0123456789abcdef", b"i" * 16, "p", wrapped)
