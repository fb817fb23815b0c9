"""Any history of a series: its rollups, at every level, are what pandas makes of all rows that were ever accepted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from series_histories import START, Step, World, begun, check, steps, story
from series_servers import SOAK, SeriesServer
from storekeeper.catalog import Hypertable
from storekeeper.errors import BelowWatermarkError
from timescale_series import script

pytestmark = pytest.mark.one_backend


@dataclass(frozen=True)
class Lab:
    """Where worlds are made, one after another, each in a database of its own."""

    server: SeriesServer = field(repr=False)
    hypertable: Hypertable = field(repr=False)

    @contextmanager
    def world(self) -> Iterator[World]:
        engine = self.server.engine
        with self.server.database(script(engine, [self.hypertable])) as url, begun(url, engine, self.hypertable) as one:
            yield one


@pytest.fixture(params=["refuse", "keep"])
def lab(series_server: SeriesServer, request: pytest.FixtureRequest) -> Lab:
    late_rows: Literal["refuse", "keep"] = request.param
    return Lab(series_server, story(late_rows))


# a failure is not made smaller: each attempt costs a second
@settings(
    max_examples=150 if SOAK else 4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(steps)
def test_rollups_hold_every_row_ever_accepted(lab: Lab, steps: list[Step]) -> None:
    with lab.world() as world:
        for step in steps:
            step.happen(world)
        check(world)


def test_a_row_for_a_dropped_chunk_is_refused_or_kept_outside_the_rollups(lab: Lab) -> None:
    """One history of those, told out: it is what the others must not miss by chance."""
    with lab.world() as world:
        world.store.drop_chunks("lab.story", as_of=START + timedelta(days=3))
        world.raw = {key: value for key, value in world.raw.items() if key[1] >= world.mark}
        late = {("A", START + timedelta(minutes=minute)): (Decimal(500), Decimal(1)) for minute in (3, 4)}
        if world.keeps:
            assert world.append(late).inserted == 2
            world.raw |= late
        else:
            with pytest.raises(BelowWatermarkError, match="2014-05-01 03:03:00") as caught:
                world.append(late)
            assert f"{world.mark:%Y-%m-%d %H:%M:%S}" in str(caught.value)
        check(world)
