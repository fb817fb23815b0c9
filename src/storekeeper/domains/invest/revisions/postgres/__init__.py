"""Revisions of the invest domain's relational tables."""
