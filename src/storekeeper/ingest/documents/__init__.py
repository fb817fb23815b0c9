"""Documents into collections: records.py reads them out of any file, shape.py maps their fields, identity.py gives
each the id by which no run doubles it."""
