"""Makes the sample files of the package from their origins; the same content each time.

Run:  python tools/make_sample.py SOURCES [OUTPUT]

SOURCES is a folder that holds these five, each under the name given here:

  demeter                 git checkout of github.com/zelos-alpha/demeter, tag v0.1.0
                          (aaa4e775f03c45a5b74014f74bda0ecd53d08fff)
  empirical_lvr_analysis  git checkout of github.com/elenahoo/empirical_lvr_analysis,
                          596167e791e997c0f4b8c7e63cd7238010e4ca56
  bokeh-sampledata        the wheel bokeh_sampledata-2026.1-py3-none-any.whl, unzipped
  finance-vix             git checkout of github.com/datasets/finance-vix,
                          6f56e2760520824b787cf6b85945c62186d38bc6
  examples                git checkout of github.com/elastic/examples,
                          6d86454ebb7a850bcd7e80abe86fe683370018a6

OUTPUT defaults to src/storekeeper/sample. The sources are checked first: the sha256 of each group of files, joined in
the order of `Source.files`, has to be the one written below. The files carry no time, so their bytes are the same too
wherever zlib compresses alike; the sha256 that is printed is that of the content.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path

CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN)
SIX = Decimal("0.000001")
EIGHT = Decimal("0.00000001")
USDC_UNIT = 10**6
WETH_UNIT = 10**18

QUOTE_HEADER = ("time", "symbol", "price", "volume", "bid", "ask")
BAR_HEADER = ("time", "symbol", "open", "high", "low", "close", "volume", "adjusted_close")
INDEX_HEADER = ("time", "index_symbol", "value", "change", "change_percent")

MINUTE_SYMBOL = "WETH-USDC@univ3-polygon"
FIRST_BAR_DAY = "2007-03-01"
FIRST_INDEX_DAY = "2007-03-01"
LAST_INDEX_DAY = "2013-03-01"


@dataclass(frozen=True)
class Source:
    """A group of source files, in order, and the sha256 of all of them joined."""

    files: tuple[str, ...]
    sha256: str

    def read(self, folder: Path) -> list[bytes]:
        """The content of each file. Exits where it is not what this script was written for."""
        contents = [(folder / name).read_bytes() for name in self.files]
        found = hashlib.sha256(b"".join(contents)).hexdigest()
        if found != self.sha256:
            sys.exit(f"{self.files[0]} and {len(self.files) - 1} more: sha256 is {found}, expected {self.sha256}")
        return contents


@dataclass(frozen=True)
class Pool:
    """A constant-product pool of WETH and USDC: its symbol here, its name in the source, and which token USDC is."""

    symbol: str
    source_name: str
    usdc_index: int


POOLS = (
    Pool("WETH-USDC@univ2-ethereum", "ethereum_univ2", 0),
    Pool("WETH-USDC@univ2-base", "base_univ2", 1),
    Pool("WETH-USDC@univ2-arbitrum", "arbitrum_univ2", 1),
    Pool("WETH-USDCE@camelot-arbitrum", "arbitrum_camlotv2", 1),
)

_KAFKA = "examples/Miscellaneous/kafka_monitoring/filebeat_monitoring/logs/kafka0/logs"

MINUTES = Source(
    tuple(
        "demeter/samples/data/Polygon-0x45dda9cb7c25131df268515131f647d726f50608-"
        f"{date(2022, 7, 19) + timedelta(days=day)}.csv"
        for day in range(35)
    ),
    "7590d1c89458601c2971919833a84b2b115c7117250aad7a09dc088f88f7cead",
)
EVENTS = Source(
    tuple(
        f"empirical_lvr_analysis/data/{pool.source_name}_{kind}_weth_usdc.csv"
        for pool in POOLS
        for kind in ("mint", "burn")
    ),
    "1f8d3c79bb9648c9c40bf73379f8685573a197baebeb356ae3f3f7ffbb7e1c3c",
)
STOCKS = Source(
    ("bokeh-sampledata/bokeh_sampledata/_data/stocks.csv.gz",),
    "5abadf99b2d394f920120a27de6f0df129859d71d4cfb0bf661bcc99446ab1fd",
)
VIX = Source(
    ("finance-vix/data/vix-daily.csv",),
    "fa8f8119bb2fa785bb408bcae541a1e630fef97f3acb160b94ed3115c1318db5",
)
SERVER_LOG = Source(
    (*(f"{_KAFKA}/server.log.2016-12-19-{hour}" for hour in range(16, 24)), f"{_KAFKA}/server.log"),
    "562b0dc84d09dd9d4c31e73fc032bc2db074e44927727bd0ebfe1edfe733f847",
)
STATE_CHANGE_LOG = Source(
    (f"{_KAFKA}/state-change.log.2016-12-19-18",),
    "ff18f5c9e217e7c64a71122b6420a19bc27590595cdeebb9760cfc4ee94e61bd",
)


def ratio(numerator: int, denominator: int, step: Decimal) -> Decimal:
    """numerator / denominator, rounded half even to `step`."""
    return CONTEXT.divide(Decimal(numerator), Decimal(denominator)).quantize(step, context=CONTEXT)


def tick_price(tick: int) -> Decimal:
    """USDC for one WETH at a tick of the pool: a tick counts powers of 1.0001 of raw WETH for one raw USDC."""
    raw = CONTEXT.power(Decimal("1.0001"), tick)
    return CONTEXT.divide(Decimal(WETH_UNIT // USDC_UNIT), raw).quantize(SIX, context=CONTEXT)


def table(content: bytes) -> Iterator[dict[str, str]]:
    """The rows of a csv file."""
    return csv.DictReader(io.StringIO(content.decode("utf-8-sig")))


def stamp(text: str) -> str:
    """ISO 8601 with Z, from the zone-less UTC text of the sources."""
    return datetime.fromisoformat(text).isoformat() + "Z"


def minute_quotes(folder: Path) -> list[tuple[str, ...]]:
    """Price of the closing tick of each minute, and the WETH swapped in plus the WETH swapped out within it."""
    rows = []
    for content in MINUTES.read(folder):
        for row in table(content):
            swapped_in = int(row["inAmount1"])
            swapped_out = swapped_in - int(row["netAmount1"])
            price = tick_price(int(row["closeTick"]))
            volume = ratio(swapped_in + swapped_out, WETH_UNIT, EIGHT)
            rows.append((stamp(row["timestamp"]), MINUTE_SYMBOL, f"{price:f}", f"{volume:f}", "", ""))
    return sorted(rows)


def event_quotes(folder: Path) -> list[tuple[str, ...]]:
    """Price at which liquidity was added to or taken from a pool, and the WETH that went in or out with it.

    Both tokens move in the ratio of the reserves, which is the price. Events below one USDC are left out: raw amounts
    are whole numbers, so tiny events give no price. Of several events of a pool in one second the last is kept.
    """
    last: dict[tuple[str, str], tuple[tuple[int, int], Decimal, Decimal]] = {}
    contents = iter(EVENTS.read(folder))
    for pool in POOLS:
        for row in (*table(next(contents)), *table(next(contents))):
            amounts = (int(row["amount0"]), int(row["amount1"]))
            usdc, weth = amounts[pool.usdc_index], amounts[1 - pool.usdc_index]
            if usdc < USDC_UNIT:
                continue
            key = (stamp(row["ts"]), pool.symbol)
            order = (int(row["evt_block_number"].removesuffix(".0")), int(row["evt_index"]))
            if key not in last or order > last[key][0]:
                price = ratio(usdc * (WETH_UNIT // USDC_UNIT), weth, SIX)
                last[key] = (order, price, ratio(weth, WETH_UNIT, EIGHT))
    return sorted((*key, f"{price:f}", f"{volume:f}", "", "") for key, (_, price, volume) in last.items())


def daily_bars(folder: Path) -> list[tuple[str, ...]]:
    """The bars since FIRST_BAR_DAY, as they are; only the adjusted close is rounded, to 6 decimals."""
    (content,) = STOCKS.read(folder)
    rows = []
    for row in table(gzip.decompress(content)):
        if row["Date"] >= FIRST_BAR_DAY:
            adjusted = Decimal(row["Adj Close"]).quantize(SIX, context=CONTEXT)
            prices = (row["Open"], row["High"], row["Low"], row["Close"])
            rows.append((f"{row['Date']}T00:00:00Z", row["Ticker"], *prices, row["Volume"], f"{adjusted:f}"))
    return sorted(rows)


def index_values(folder: Path) -> list[tuple[str, ...]]:
    """The daily close of the VIX over the days of the bars; change and change_percent are left empty."""
    (content,) = VIX.read(folder)
    return [
        (f"{row['DATE']}T00:00:00Z", "VIX", row["CLOSE"], "", "")
        for row in table(content)
        if FIRST_INDEX_DAY <= row["DATE"] <= LAST_INDEX_DAY
    ]


def as_csv(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> bytes:
    """A csv file with LF line ends."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def write(path: Path, content: bytes) -> None:
    """Writes `content` as gzip without name or time, and prints what was written."""
    packed = gzip.compress(content, compresslevel=9, mtime=0)
    path.write_bytes(packed)
    lines = content.count(b"\n")
    print(
        f"{path.name}: {lines} lines, {len(packed)} bytes, sha256 of the content {hashlib.sha256(content).hexdigest()}"
    )


def main(arguments: list[str]) -> None:
    if len(arguments) not in (1, 2):
        sys.exit(__doc__)
    folder = Path(arguments[0])
    default = Path(__file__).parent.parent / "src" / "storekeeper" / "sample"
    output = Path(arguments[1]) if len(arguments) > 1 else default
    write(output / "quotes_minute.csv.gz", as_csv(QUOTE_HEADER, minute_quotes(folder)))
    write(output / "quotes_events.csv.gz", as_csv(QUOTE_HEADER, event_quotes(folder)))
    write(output / "daily_bars.csv.gz", as_csv(BAR_HEADER, daily_bars(folder)))
    write(output / "index_values.csv.gz", as_csv(INDEX_HEADER, index_values(folder)))
    write(output / "kafka_server.log.gz", b"".join(SERVER_LOG.read(folder)))
    write(output / "kafka_state_change.log.gz", b"".join(STATE_CHANGE_LOG.read(folder)))


if __name__ == "__main__":
    main(sys.argv[1:])
