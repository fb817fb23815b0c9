"""Sample data that ships with the package: real values from public origins, used by `storekeeper demo`.

`NOTICE` says where each file comes from, under which licence, and what was changed; `tools/make_sample.py` makes the
files from their origins. Files are gzip: csv with a header line, or log text as the source has it.

  quotes_minute       one price a minute of one pool over 35 days, without a missing day
  quotes_events       prices of four pools at irregular times over seven months
  daily_bars          daily bars of five shares over six years
  index_values        daily close of one index over the same six years
  kafka_server        a broker's log; about 6 % of the lines continue the line above
  kafka_state_change  the same broker's state-change log
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample file. `rows` counts rows without the header, or lines; `first` and `last` are the times at its ends.

    Log lines carry no time zone; their `first` and `last` are read as UTC.
    """

    name: str
    file: str
    dataset: str
    rows: int
    first: datetime
    last: datetime
    origin: str
    licence: str


SAMPLES: tuple[Sample, ...] = (
    Sample(
        name="quotes_minute",
        file="quotes_minute.csv.gz",
        dataset="invest.intraday_prices",
        rows=50_390,
        first=datetime(2022, 7, 19, tzinfo=UTC),
        last=datetime(2022, 8, 22, 23, 59, tzinfo=UTC),
        origin="github.com/zelos-alpha/demeter",
        licence="MIT",
    ),
    Sample(
        name="quotes_events",
        file="quotes_events.csv.gz",
        dataset="invest.intraday_prices",
        rows=4_878,
        first=datetime(2024, 3, 1, 1, 54, tzinfo=UTC),
        last=datetime(2024, 9, 30, 22, 48, 13, tzinfo=UTC),
        origin="github.com/elenahoo/empirical_lvr_analysis",
        licence="MIT",
    ),
    Sample(
        name="daily_bars",
        file="daily_bars.csv.gz",
        dataset="invest.stock_prices",
        rows=6_244,
        first=datetime(2007, 3, 1, tzinfo=UTC),
        last=datetime(2013, 3, 1, tzinfo=UTC),
        origin="Quandl WIKI Prices, by way of bokeh-sampledata 2026.1",
        licence="public domain",
    ),
    Sample(
        name="index_values",
        file="index_values.csv.gz",
        dataset="invest.market_indices",
        rows=1_512,
        first=datetime(2007, 3, 1, tzinfo=UTC),
        last=datetime(2013, 3, 1, tzinfo=UTC),
        origin="github.com/datasets/finance-vix",
        licence="PDDL-1.0",
    ),
    Sample(
        name="kafka_server",
        file="kafka_server.log.gz",
        dataset="invest.logs",
        rows=2_649,
        first=datetime(2016, 12, 19, 16, 31, 46, 143_000, tzinfo=UTC),
        last=datetime(2016, 12, 20, 0, 11, 11, 219_000, tzinfo=UTC),
        origin="github.com/elastic/examples",
        licence="Apache-2.0",
    ),
    Sample(
        name="kafka_state_change",
        file="kafka_state_change.log.gz",
        dataset="invest.logs",
        rows=1_871,
        first=datetime(2016, 12, 19, 18, 2, 18, 18_000, tzinfo=UTC),
        last=datetime(2016, 12, 19, 18, 14, 43, 766_000, tzinfo=UTC),
        origin="github.com/elastic/examples",
        licence="Apache-2.0",
    ),
)


def sample(name: str) -> Sample:
    """The sample of that name. Raises KeyError where there is none."""
    for entry in SAMPLES:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in SAMPLES)
    raise KeyError(f"no sample is called {name!r}; there are {known}")


def path(name: str) -> Path:
    """Where the file of a sample lies. The package has to be installed unpacked, as it is by every usual installer."""
    return Path(str(resources.files(__name__) / sample(name).file))


def open_sample(name: str) -> TextIO:
    """The decompressed text of a sample, line ends as they are. The caller closes it."""
    packed = (resources.files(__name__) / sample(name).file).read_bytes()
    return io.TextIOWrapper(io.BytesIO(gzip.decompress(packed)), encoding="utf-8", newline="")
