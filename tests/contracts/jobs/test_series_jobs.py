"""The life of a series, driven by jobs: what a dry run says is what the real run does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from storekeeper.errors import BelowWatermarkError, JobFailedError
from storekeeper.jobs import Action, Report, Skipped, history, run_job
from storekeeper.platform import Platform, connect
from storekeeper.stores.timescale import lifecycle

PRICES = "invest.intraday_prices"
FIVE_MINUTES = "invest.stock_prices_5min"
HOURS = "invest.stock_prices_1h"
FIRST = datetime(2014, 3, 3, tzinfo=UTC)


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with connect(stores=("postgres", "timescale"), postgres_url=migrated_url, timescale_url=migrated_url) as opened:
        yield opened


def load(platform: Platform, first: datetime, days: int) -> None:
    """Six trades a day and symbol, from 14:30 on, ten minutes apart."""
    rows = [
        {"time": first + timedelta(days=day, hours=14, minutes=30 + 10 * minute), "symbol": symbol}
        | {"price": Decimal(100 + day), "volume": Decimal(10)}
        for day in range(days)
        for symbol in ("AAPL", "MSFT")
        for minute in range(6)
    ]
    assert platform.timescale.append(PRICES, rows).inserted == 12 * days


def gist(report: Report) -> list[tuple[str, str, str]]:
    """What is said in words: how many rows a refresh makes, nobody knows beforehand."""
    return [(action.verb, action.target, action.detail) for action in report.actions]


def both(platform: Platform, job: str, as_of: datetime) -> Report:
    """Runs a job dry, then for good: they must say the same, and the dry one must leave all as it was."""
    before = state(platform)
    rehearsed = run_job(platform, job, as_of=as_of, dry_run=True)
    assert state(platform) == before
    real = run_job(platform, job, as_of=as_of)
    assert gist(rehearsed.report) == gist(real.report)
    assert rehearsed.report.skipped == real.report.skipped
    return real.report


def state(platform: Platform) -> dict[str, object]:
    store = platform.timescale
    names = [PRICES, FIVE_MINUTES, HOURS]
    return {
        name: ([chunk.name for chunk in store.chunks(name)], store.pending(name), store.watermark(name))
        for name in names
    } | {"volume": volume(platform)}


def volume(platform: Platform) -> Decimal:
    """Of all hours, as the coarsest rollup holds it."""
    with platform.timescale.pool.begin() as connection:
        found = connection.execute(sa.text(f"SELECT coalesce(sum(volume), 0) FROM {HOURS}")).scalar_one()
        return Decimal(found)


def test_nights_pass_and_nothing_is_lost(platform: Platform) -> None:
    load(platform, FIRST, 40)
    night = FIRST + timedelta(days=40)
    made = both(platform, "partitions", night)
    assert ("make chunk", "invest.intraday_prices_p20140412", "2014-04-12 00:00 to 2014-04-13 00:00") in gist(made)
    assert both(platform, "partitions", night) == Report()
    rolled_up = both(platform, "rollups", night)
    assert gist(rolled_up) == [
        ("refresh", FIVE_MINUTES, "2014-03-03 14:30 to 2014-04-11 15:25"),
        ("refresh", HOURS, "2014-03-03 14:00 to 2014-04-11 16:00"),
    ]
    assert volume(platform) == 40 * 120
    assert both(platform, "rollups", night) == Report()
    dropped = both(platform, "retention", night)
    assert [verb for verb, *_ in gist(dropped)] == ["verify", "verify", "raise watermark", *["drop chunk"] * 10]
    assert gist(dropped)[2] == ("raise watermark", PRICES, "to 2014-03-13 00:00")
    assert gist(dropped)[3] == ("drop chunk", f"{PRICES}_p20140303", "2014-03-03 00:00 to 2014-03-04 00:00")
    assert dropped.bytes is not None
    assert dropped.bytes > 0
    assert both(platform, "retention", night) == Report()
    assert volume(platform) == 40 * 120
    with pytest.raises(BelowWatermarkError):
        load(platform, FIRST, 1)
    # the next night takes one more day
    assert [verb for verb, *_ in gist(both(platform, "retention", night + timedelta(days=1)))][-1] == "drop chunk"


def test_retention_refreshes_by_itself_before_it_drops(platform: Platform) -> None:
    load(platform, FIRST, 3)
    report = both(platform, "retention", FIRST + timedelta(days=60))
    assert [verb for verb, *_ in gist(report)] == [
        *["refresh"] * 2,
        *["verify"] * 2,
        "raise watermark",
        *["drop chunk"] * 3,
    ]
    assert report.actions[0].rows == 3 * 12
    assert volume(platform) == 3 * 120


def test_late_rows_are_rolled_up_before_their_chunk_goes(platform: Platform) -> None:
    load(platform, FIRST, 2)
    run_job(platform, "rollups", as_of=FIRST + timedelta(days=3))
    late = {"time": FIRST + timedelta(hours=20), "symbol": "LATE", "price": Decimal(1), "volume": Decimal(7)}
    platform.timescale.append(PRICES, [late])
    report = both(platform, "retention", FIRST + timedelta(days=60))
    assert ("refresh", FIVE_MINUTES, "2014-03-03 20:00 to 2014-03-03 20:05") in gist(report)
    assert volume(platform) == 2 * 120 + 7


def test_history_beyond_the_life_of_a_rollup_passes_through_it(platform: Platform) -> None:
    """Rows of three years ago are dropped at once, and so are the five minutes made of them; the hours stay."""
    load(platform, FIRST, 2)
    report = both(platform, "retention", FIRST.replace(year=2017))
    dropped = [target for verb, target, _ in gist(report) if verb == "drop chunk"]
    assert [target.rpartition("_")[0] for target in dropped] == [PRICES, PRICES, FIVE_MINUTES]
    assert volume(platform) == 2 * 120
    assert both(platform, "retention", FIRST.replace(year=2017)) == Report()


def test_nothing_is_dropped_that_a_rollup_does_not_hold(platform: Platform) -> None:
    load(platform, FIRST, 2)
    run_job(platform, "rollups", as_of=FIRST + timedelta(days=3))
    with platform.timescale.pool.begin() as connection:
        connection.execute(sa.text(f"UPDATE {FIVE_MINUTES} SET volume = volume + 1 WHERE symbol = 'AAPL'"))
    before = state(platform)[PRICES]
    with pytest.raises(JobFailedError, match="are not what its source yields"):
        run_job(platform, "retention", as_of=FIRST + timedelta(days=60))
    assert state(platform)[PRICES] == before
    assert history(platform)[0].state == "failed"


def test_what_went_before_a_failure_is_known_and_the_next_run_goes_on(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_DETACHING", {"lock_timeout": "300ms"})
    load(platform, FIRST, 3)
    night = FIRST + timedelta(days=60)
    with platform.timescale.pool.begin() as reader:
        reader.execute(sa.text(f"LOCK TABLE {PRICES}_p20140304 IN ACCESS SHARE MODE"))
        with pytest.raises(JobFailedError):
            run_job(platform, "retention", as_of=night)
    (run, *_) = history(platform)
    assert run.state == "failed"
    assert ("detach chunk", f"{PRICES}_p20140303", "2014-03-03 00:00 to 2014-03-04 00:00") in gist(run.report)
    run_job(platform, "retention", as_of=night)
    assert platform.timescale.chunks(PRICES) == []
    assert volume(platform) == 3 * 120


def test_compression_says_what_the_engine_cannot_do(platform: Platform) -> None:
    load(platform, FIRST, 10)
    report = both(platform, "compression", FIRST + timedelta(days=12))
    reason = "5 chunks are due, but columnstore is not supported by plain PostgreSQL partitions"
    assert report == Report((), (Skipped("compress", PRICES, reason),))
    assert history(platform)[0].report == report
    assert both(platform, "compression", FIRST) == Report()


def test_rows_that_psql_writes_tomorrow_find_their_chunk(platform: Platform) -> None:
    both(platform, "partitions", FIRST)
    with platform.timescale.pool.begin() as connection:
        connection.execute(
            sa.text(f"INSERT INTO {PRICES} (time, symbol, price, volume) VALUES (:time, 'AAPL', 1, 1)"),
            {"time": FIRST + timedelta(days=3, hours=23)},
        )
    run_job(platform, "rollups", as_of=FIRST + timedelta(days=5))
    assert volume(platform) == 1


def test_expired_sessions_go(platform: Platform) -> None:
    with platform.postgres.begin() as connection:
        connection.execute(
            sa.text("""
                WITH owner AS (
                    INSERT INTO invest.users (email, password_hash, first_name, last_name)
                    VALUES ('ada@example.org', 'x', 'Ada', 'L') RETURNING id
                )
                INSERT INTO invest.sessions (user_id, refresh_token, created_at, expires_at)
                SELECT owner.id, 'digest ' || day, CAST(:first AS timestamptz) - interval '1 day',
                    CAST(:first AS timestamptz) + make_interval(days => day)
                FROM owner, generate_series(0, 9) AS day"""),
            {"first": FIRST},
        )
    report = both(platform, "cleanup", FIRST + timedelta(days=4))
    assert report.actions == (Action("delete", "invest.sessions", "rows past expires_at", rows=4),)
