"""Measurements beside what a user would use instead: `make bench AREA=time-series`."""
