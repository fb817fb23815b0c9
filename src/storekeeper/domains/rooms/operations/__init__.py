"""The operations of the rooms domain, over an open session: NAME_async for async callers, NAME for sync ones."""
