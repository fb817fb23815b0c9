"""Revisions of the schema `storekeeper` in the postgres store."""
