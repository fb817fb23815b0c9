"""The adapters: one package a kind of server, each with an async and a sync handle of the same shape."""
