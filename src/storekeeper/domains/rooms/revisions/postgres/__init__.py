"""Revisions of the rooms domain's relational tables."""
