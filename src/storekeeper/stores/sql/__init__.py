"""What the two SQL stores share: the pool, its transactions, failures as errors, URLs, bulk intake."""
