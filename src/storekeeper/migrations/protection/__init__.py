"""Protection of a store as state: row-level security, policies, grants and the views by which services see rollups.

`wanted.py` says what the catalogue asks for, `found.py` what the server has, `changes.py` what makes the one of the
other (these decide, purely), `reconciling.py` carries it out.
"""

from storekeeper.migrations.protection.changes import Change, changes
from storekeeper.migrations.protection.found import Found, found_on
from storekeeper.migrations.protection.reconciling import Protecting, roles_of
from storekeeper.migrations.protection.roles import Roles
from storekeeper.migrations.protection.wanted import wanted_of

__all__ = ["Change", "Found", "Protecting", "Roles", "changes", "found_on", "roles_of", "wanted_of"]
