"""Backups: full ones of a whole server, by the servers' own tools and formats, in a repository with checksums.

back_up("postgres", sources=…, repository=…, clock=…, as_of=…)     one backup, from URLs
back_up_store(platform, "postgres", as_of=…)                       the same, for an open platform
list_backups(repository)                                           what is there, also what is damaged
check_backup(repository, "postgres", label)                        every file against its checksum
"""

from storekeeper.backups.backup import BackedUp, back_up, back_up_store, repository_at
from storekeeper.backups.manifest import Manifest, StoredFile
from storekeeper.backups.planning import Sources
from storekeeper.backups.repository import ListedBackup, Repository, check_backup, list_backups

__all__ = [
    "BackedUp",
    "ListedBackup",
    "Manifest",
    "Repository",
    "Sources",
    "StoredFile",
    "back_up",
    "back_up_store",
    "check_backup",
    "list_backups",
    "repository_at",
]
