"""Time-series SQL: engines, capture of changes, rollups, bars, decisions. Pure: whoever holds a connection runs it."""
