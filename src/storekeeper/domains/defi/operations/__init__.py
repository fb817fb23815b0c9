"""The operations of the defi domain, over a session that the caller opened; each file exists async and sync."""
