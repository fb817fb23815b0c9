"""The time-series store: runs the statements of `storekeeper.timescale` over a pool."""
