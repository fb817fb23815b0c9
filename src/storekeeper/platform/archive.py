"""The cold tier of an installation: where the settings say it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from storekeeper.platform.locating import locate
from storekeeper.settings import Settings

if TYPE_CHECKING:
    from storekeeper.stores.cold.tier import ColdTier


def archive_place(settings: Settings) -> Path | str | None:
    """The setting `archive`; where it is absent, a folder beside the embedded stack that holds the series. None: the
    store is a server by URL, whose history belongs into no folder that nobody named."""
    if settings.archive is not None:
        return settings.archive
    return settings.directory / "archive" if locate(settings, "timescale").embedded else None


def cold_tier(settings: Settings) -> ColdTier | None:
    """Touches nothing: a place that is not there is met when it is used. Raises SettingsError."""
    place = archive_place(settings)
    if place is None:
        return None
    # late: what reads files takes its time to import
    from storekeeper.stores.cold.place import place_of
    from storekeeper.stores.cold.tier import ColdTier

    return ColdTier(place_of(place, settings.s3))
