"""The relational store: entities by the ORM, transactions by the pool."""
