"""Revisions of the deals domain's hypertables and rollups."""
