"""Revisions of the invest domain's hypertables and rollups."""
