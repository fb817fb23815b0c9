"""Before rows are dropped, two chunks' worth of rollups are verified side by side; each difference counts once."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from threading import Barrier

import psycopg
import pytest

import timescale_stores
from storekeeper.catalog import Range
from storekeeper.errors import NotVerifiedError
from storekeeper.settings import SqlPool
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level
from storekeeper.timescale.statement import Inspection
from timescale_series import moment, stored_in

START = moment("2014-05-01 00:00")
AS_OF = moment("2014-06-08 05:17")  # 30 days before: 2014-05-09 05:17
ROWS = [
    {"time": START + timedelta(hours=step), "symbol": symbol, "price": 1 + step % 50, "volume": 1.25}
    for step in range(24 * 9)
    for symbol in ("AAPL", "MSFT")
]


def test_two_are_verified_at_once(series_url: str, engine: Engine) -> None:
    both = Barrier(2)

    class Meeting(type(engine)):  # type: ignore[misc]  # whichever engine it is
        """Each of the eight days is looked at when another is."""

        def verify(self, level: Level, window: Range) -> Inspection[int]:
            if level.depth == 1:
                both.wait(20)
            return super().verify(level, window)  # type: ignore[no-any-return]  # as the engine's

    meeting = Meeting(**{part.name: getattr(engine, part.name) for part in fields(engine)})  # type: ignore[arg-type]  # a dataclass
    with timescale_stores.opened(series_url, meeting) as store:
        store.append("lab.ticks", ROWS)
        assert len(store.drop_chunks("lab.ticks", as_of=AS_OF)[0].chunks) == 8


@pytest.mark.parametrize("connections", [1, 4])
def test_every_difference_is_counted_and_nothing_is_dropped(
    series_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    monkeypatch.setattr(timescale_stores, "POOL", SqlPool(min=1, size=connections, overflow=0))
    with timescale_stores.opened(series_url, engine) as store:
        store.append("lab.ticks", ROWS)
        store.refresh("lab.ticks", as_of=AS_OF)
        with psycopg.connect(series_url) as psql:
            for day in (1, 2, 5):
                fine = stored_in(psql, "lab.ticks_5min").encode()
                psql.execute(
                    b"UPDATE " + fine + b" SET low = low - 0.5 WHERE bucket = %s", (moment(f"2014-05-{day:02} 03:00"),)
                )
        with pytest.raises(NotVerifiedError, match=r"12 rows of lab\.ticks_5min"):
            store.drop_chunks("lab.ticks", as_of=AS_OF)
        assert len(store.chunks("lab.ticks")) == 9
        assert store.watermark("lab.ticks") is None
        with psycopg.connect(series_url) as psql:
            psql.execute("UPDATE lab.ticks SET price = price")
        assert len(store.drop_chunks("lab.ticks", as_of=AS_OF)[0].chunks) == 8
