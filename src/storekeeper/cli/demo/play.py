"""The demo's play: scenes in order, each told in a few lines."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from storekeeper.cli.demo import analyst, nights, service
from storekeeper.cli.demo.loading import load
from storekeeper.cli.output import console, counted, heading, size, table
from storekeeper.migrations import apply, plan
from storekeeper.platform import connect
from storekeeper.servers import running_stack, stack_status
from storekeeper.stores.timescale.values import Size


def play(directory: Path) -> None:
    """Plays all scenes on a stack in `directory`, which is stopped at the end, however that comes."""
    began = time.monotonic()
    with running_stack(directory), connect(directory=directory, root=directory, role="jobs") as platform:
        heading("Four stores on three servers, private children of this process")
        servers = [(s.name, s.version, s.state, size(s.memory_bytes)) for s in stack_status(directory)]
        table("", ("server", "version", "state", "memory"), servers, right=("memory",))

        heading("Migrations: what the catalogue declares, made in every store")
        done = apply(platform).steps
        console().print(f"{counted(len(done), 'step')} done; asked again, {len(plan(platform).todo)} are left to do")

        heading("Real prices go in, by COPY")
        load(platform)
        before = platform.timescale.sizes()

        heading("Nights pass, by the job clock")
        nights.pass_nights(platform, nights.NIGHTS)
        console().print("A chunk is dropped after every rollup was refreshed and verified to hold it.")

        heading("What an analyst sees")
        analyst.show_bars(platform, directory / "bars.png")

        heading("Two years pass: raw rows live for 30 days, 5-minute bars for a year, hourly bars for ever")
        nights.pass_nights(platform, nights.LATER)
        analyst.show_what_is_left(platform)

        heading("Each server is backed up, with a checksummed manifest")
        nights.back_up(platform)

        heading("What a service sees")
        service.show(platform)

        heading("Sizes, before the nights and after")
        _compare(before, platform.timescale.sizes())
    _farewell(directory, time.monotonic() - began)


def _compare(before: Iterable[Size], after: Iterable[Size]) -> None:
    then = {level.dataset: level for level in before}
    rows = [
        (level.dataset, then[level.dataset].chunks, size(then[level.dataset].bytes), level.chunks, size(level.bytes))
        for level in after
        if level.chunks or then[level.dataset].chunks
    ]
    table("", ("dataset", "chunks", "size", "chunks after", "size after"), rows, right=("size", "size after"))


def _farewell(directory: Path, seconds: float) -> None:
    heading(f"Done in {seconds:.0f} s; every server has stopped")
    console().print(
        f"look        {directory / 'bars.png'}, and the backups below {directory / 'backups'}\n"
        f"go on       storekeeper up --detach --dir {directory}; storekeeper status --dir {directory}\n"
        f"            storekeeper query invest.intraday_prices -s {service.SYMBOL} --bars 1d"
        f" --from 2024-09-01 --to 2024-10-01 --dir {directory}\n"
        "your own    storekeeper up --detach; storekeeper migrate; storekeeper ingest DATASET FILE.csv.gz\n"
        "the house   docs/architecture.md",
        soft_wrap=True,  # commands are to be copied whole
    )
