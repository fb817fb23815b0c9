"""Rows of both tiers in one order: of texts the server's, whose collation is its own."""

from __future__ import annotations

import pyarrow as pa

from storekeeper.stores.timescale.cold import in_order


def test_texts_go_as_the_server_orders_them_within_one_time() -> None:
    rows = pa.table({"time": [2, 1, 1, 1], "name": ["a", "B", "a", "b"], "value": [1, 2, 3, 4]})
    english = pa.array(["a", "b", "B"])
    assert in_order(rows, ["time", "name"], {"name": english}).column("value").to_pylist() == [3, 4, 2, 1]
    assert in_order(rows, ["time", "name"], {}).column("value").to_pylist() == [2, 3, 4, 1], "by their bytes"
