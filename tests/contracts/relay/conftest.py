"""The lab's platform, on a migrated store."""

from outbox_lab import platform as platform
