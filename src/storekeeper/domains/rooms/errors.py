"""What the rooms domain refuses, where callers need to tell it apart."""

from __future__ import annotations

from storekeeper import RefusedError


class AgentBusyError(RefusedError):
    """An agent is held by another deal, is through with its own, or no longer lists that NFT."""


class RoomNotOpenError(RefusedError):
    """The room is paused or closed: nothing begins in it."""


class StateError(RefusedError):
    """What has this status cannot get that one."""


class PriceError(RefusedError):
    """The price is less than the seller accepts, or more than the buyer pays."""


class NonceError(RefusedError):
    """The nonce is not the wallet's, or was used before."""
