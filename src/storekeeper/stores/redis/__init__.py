"""The key store: sessions, quotes, caches, rate limits, subscriptions."""
