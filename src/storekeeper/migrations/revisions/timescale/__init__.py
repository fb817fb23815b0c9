"""Revisions of the schema `storekeeper` in the timescale store."""
