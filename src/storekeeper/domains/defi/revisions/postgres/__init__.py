"""Revisions of the defi domain's relational tables."""
