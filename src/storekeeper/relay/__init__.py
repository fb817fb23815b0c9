"""The relay: what the outbox holds for other stores is applied to them, in order within a key, at least once."""

from storekeeper.relay.delivering import Delivered, deliver
from storekeeper.relay.delivery import Delivery

__all__ = ["Delivered", "Delivery", "deliver"]
