"""The tables of the defi domain as entities of the ORM."""

from __future__ import annotations

from storekeeper.domains.defi.entities.base import Base
from storekeeper.domains.defi.entities.events import ArchivedStream, ArchiveFile, Event
from storekeeper.domains.defi.entities.intents import Intent
from storekeeper.domains.defi.entities.positions import Position
from storekeeper.domains.defi.entities.signals import Alert, Signal
from storekeeper.domains.defi.entities.users import User

__all__ = ["Alert", "ArchiveFile", "ArchivedStream", "Base", "Event", "Intent", "Position", "Signal", "User"]
