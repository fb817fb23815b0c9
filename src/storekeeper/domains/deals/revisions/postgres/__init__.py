"""Revisions of the deals domain's relational tables."""
