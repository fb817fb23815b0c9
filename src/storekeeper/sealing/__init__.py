"""Sealed values and the key ring that opens them, digests of tokens, passwords.

A value is sealed by a data key of its person's own; the data keys are wrapped by the master key, which the settings
give, and lie in the key ring, never in a store. So a person is erased from every backup by destroying one key.
"""

from storekeeper.sealing.digests import digest, new_token
from storekeeper.sealing.keyring import KeyRing
from storekeeper.sealing.keyring_async import AsyncKeyRing
from storekeeper.sealing.keys import RingStatus
from storekeeper.sealing.master_keys import MasterKeys, new_master_key
from storekeeper.sealing.passwords import hash_password, password_matches

__all__ = [
    "AsyncKeyRing",
    "KeyRing",
    "MasterKeys",
    "RingStatus",
    "digest",
    "hash_password",
    "new_master_key",
    "new_token",
    "password_matches",
]
