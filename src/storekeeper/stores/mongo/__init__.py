"""The document store: logs, events, model results."""
