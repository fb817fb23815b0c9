"""A day of each domain as services live it: as the role app, one user at a time, with the jobs at work behind them.

What one user does, another neither sees, nor changes, nor counts; what is public they see.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from deals_domain import code, offer, pricing, shop, stored, wish
from onlookers import is_nothing, reach, seen
from storekeeper import KeyRing, MasterKeys, NotFoundError, Platform, connect, hours
from storekeeper.domains.deals import domain as deals, queries as deal_queries
from storekeeper.domains.deals.entities import GoalDeal, Notification
from storekeeper.domains.deals.operations import auth, chat, sharing, tokens
from storekeeper.domains.deals.operations.prices import Sighting, record_price
from storekeeper.domains.deals.operations.pricing import Use, charge
from storekeeper.domains.deals.operations.redeem import redeem
from storekeeper.domains.deals.postings import Posting
from storekeeper.domains.defi import domain as defi, queries as defi_queries
from storekeeper.domains.defi.archive import Archive
from storekeeper.domains.defi.entities import Alert
from storekeeper.domains.defi.events import NewEvent, Stream
from storekeeper.domains.defi.operations import alerts as defi_alerts, intents, positions, signals, users as defi_users
from storekeeper.domains.defi.operations.event_store import append, read_all
from storekeeper.domains.defi.shapes import Condition, IntentAction, Preferences
from storekeeper.domains.invest import domain as invest, queries as invest_queries
from storekeeper.domains.invest.entities import UserActivity
from storekeeper.domains.invest.operations import accounts, alerts as price_alerts, logins, trades, valuation
from storekeeper.domains.invest.operations.watchlists import add_symbols, create_watchlist
from storekeeper.domains.invest.ticks import Tick
from storekeeper.domains.invest.worth import Price
from storekeeper.domains.rooms import domain as rooms, queries as room_queries
from storekeeper.domains.rooms.agents import NewAgent
from storekeeper.domains.rooms.entities import Nft, Room
from storekeeper.domains.rooms.operations import dealing, placing, signing_in, statistics
from storekeeper.domains.rooms.shapes import Consensus
from storekeeper.errors import PermissionDeniedError
from storekeeper.jobs import run_job
from storekeeper.sealing import new_master_key

STORES: Any = ("postgres", "timescale", "redis")
NOW = datetime.now(UTC)
DAY = timedelta(days=1)

#: The tables in which the flows leave rows of the user who acts.
DEALS = {
    *("users", "auth_tokens", "goals", "goal_deals", "saved_deals", "chat_messages", "notifications"),
    *("user_token_balances", "token_transactions", "token_balance_history", "shared_deals", "social_interactions"),
}
INVEST = {
    *("users", "portfolios", "portfolio_assets", "transactions", "watchlists", "watchlist_items", "price_alerts"),
    "user_activity_log",
}
ROOMS = {"users", "agents", "deals", "agent_performance"}
DEFI = {"users", "positions", "alerts", "intents"}

#: Of these everybody sees the rows of a public list.
PUBLIC_LISTS = {"invest.watchlists", "invest.watchlist_items"}


@pytest.fixture
def installation(role_settings: dict[str, Any], redis_url: str, tmp_path: Path) -> dict[str, Any]:
    """Its settings, for every role."""
    return role_settings | {"redis_url": redis_url, "directory": tmp_path}


@pytest.fixture
def service(installation: dict[str, Any]) -> Iterator[Platform]:
    with connect(stores=STORES, **installation) as platform:
        yield platform


@pytest.fixture
def jobs(installation: dict[str, Any]) -> Iterator[Platform]:
    with connect(stores=STORES, role="jobs", **installation) as platform:
        yield platform


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[KeyRing]:
    with KeyRing(tmp_path / "keys", MasterKeys.of(new_master_key())) as opened:
        yield opened


def test_deals(service: Platform, jobs: Platform, ring: KeyRing, migrated_url: str) -> None:
    bought, market = code(code="WELCOME"), shop()
    deal = offer(market.id, original_price=Decimal(20), title="Ada's engine")
    stored(migrated_url, bought, pricing("analysis", valid_from=NOW - DAY), market, deal)
    people = []
    for name in ("ada", "bob"):
        with service.postgres.session() as session:
            people.append(auth.register(session, f"{name}@example.org", "correct horse", name=name).id)
    ada, bob = people
    unmoved = reach(service, deals.DOMAIN, bob)

    with service.postgres.session() as session:
        assert auth.log_in(session, "ADA@example.org", "correct horse", at=NOW) == ada
        issued = auth.issue(session, ada, "access", at=NOW)
    with service.postgres.session() as session:
        assert auth.log_in(session, "ada@example.org", "wrong", at=NOW) is None
    with service.postgres.session() as session:
        found = auth.bearer(session, issued.token, "access", at=NOW)
        assert found is not None
        assert found.user_id == ada
    goal = wish(ada, max_budget=Decimal(15), notification_threshold=Decimal(20), max_tokens=Decimal(5))
    with service.postgres.session(user_id=ada) as session:
        session.add(goal)
    sighting = Sighting(deal_id=deal.id, price=Decimal("12.50"), source="ebay", seen_at=datetime.now(UTC))
    with service.postgres.session() as session:
        record_price(session, sighting)
    run_job(jobs, "relay")

    with service.postgres.session(user_id=ada) as session:
        match = session.scalars(sa.select(GoalDeal)).one()
        told = session.scalars(sa.select(Notification)).one()
        assert (match.deal_id, told.goal_id, told.status) == (deal.id, goal.id, "pending")
        shown = session.scalars(deal_queries.deals_on_offer("books", at=NOW)).one()
        assert (shown.current_price, shown.discount_percent) == (Decimal("12.50"), Decimal("37.50"))
    prices = service.timescale.raw("deals.price_tracking", where={"deal_id": [deal.id]}, exact=True).to_pylist()
    assert [row["price"] for row in prices] == [Decimal("12.50")]

    with service.postgres.session(user_id=ada) as session:
        tokens.post(session, Posting(user_id=ada, type="purchase", amount=Decimal(10)), at=NOW)
        charge(session, Use(user_id=ada, service="analysis", goal_id=goal.id), at=NOW)
        redeem(session, "WELCOME", at=NOW)
        assert tokens.balance_of(session, ada) == 58
        shared = sharing.share(session, ada, deal.id, "link", message="look")
        sharing.save(session, ada, deal.id)
        for role, text in (("user", "find me an engine"), ("assistant", "an analytical one?")):
            chat.say(session, ring, ada, role, text, goal_id=goal.id, tokens_used=3)
        spoken = chat.conversation(session, ring, ada, limit=1)
        assert [said.content for said in spoken.items] == ["an analytical one?"]
        rest = chat.conversation(session, ring, ada, after=spoken.next)
        assert [said.content for said in rest.items] == ["find me an engine"]
    assert shared.public_link_id is not None
    with service.postgres.session() as session:
        assert sharing.open_link(session, shared.public_link_id, at=NOW).deal_id == deal.id

    with service.postgres.session(user_id=bob) as session:
        assert chat.conversation(session, ring, ada).items == ()
        assert tokens.balance_of(session, ada) == 0
        with pytest.raises(NotFoundError):
            chat.say(session, ring, bob, "user", "mine now", goal_id=goal.id)
        with pytest.raises(NotFoundError):
            sharing.withdraw(session, shared.id)
    with pytest.raises(PermissionDeniedError), service.postgres.session(user_id=bob) as session:
        tokens.post(session, Posting(user_id=ada, type="deduction", amount=Decimal(-1)), at=NOW)
    assert reach(service, deals.DOMAIN, bob) == unmoved
    assert is_nothing(reach(service, deals.DOMAIN, None))
    assert seen(service, deals.DOMAIN, ada) >= DEALS


def test_invest(service: Platform, jobs: Platform, ring: KeyRing) -> None:
    people = []
    for name in ("ada", "bob"):
        wanted = accounts.Registration(
            email=f"{name}@example.org", password="correct horse", first_name=name, last_name="L", phone="1"
        )
        with service.postgres.session() as session:
            people.append(accounts.register(session, wanted, ring=ring).user.id)
    ada, bob = people
    unmoved = reach(service, invest.DOMAIN, bob)
    with service.postgres.session() as session:
        assert logins.log_in(session, "ada@example.org", "correct horse", at=NOW) is not None
    with service.postgres.session(user_id=ada) as session:
        portfolio = session.scalars(invest_queries.portfolios(ada)).one()
        for trade, shares, price in ((trades.buy, 3, 10), (trades.sell, 1, 12)):
            order = trades.Order(
                portfolio_id=portfolio.id, symbol="ENGN", shares=Decimal(shares), price=Decimal(price), date=NOW - DAY
            )
            trade(session, order, at=NOW)
    service.timescale.upsert(
        "invest.intraday_prices", [{"symbol": "ENGN", "time": NOW, "price": Decimal("12.5"), "volume": 1}]
    )
    assert valuation.value_now(service, portfolio.id, user_id=ada).total.value == 25
    with service.postgres.session(user_id=ada) as session:
        alert = price_alerts.Wanted(
            user_id=ada, symbol="ENGN", alert_type="price", condition="above", target=Decimal(12)
        )
        price_alerts.set_alert(session, alert)
        public, own = (create_watchlist(session, ada, name, public=name == "Shown") for name in ("Shown", "Own"))
        for watchlist in (public, own):
            add_symbols(session, watchlist.id, ["ENGN"])
    with jobs.postgres.session() as session:
        assert len(price_alerts.evaluate(session, [Tick("ENGN", NOW, Decimal("12.5"))], at=NOW)) == 1
    run_job(jobs, "relay")
    snapshots = service.timescale.raw("invest.portfolio_snapshots", where={"portfolio_id": [portfolio.id]}, exact=True)
    assert snapshots.column("total_value").to_pylist() == [Decimal(25)]
    with service.postgres.session(user_id=ada) as session:
        assert [row.activity_type for row in session.scalars(sa.select(UserActivity))] == ["price_alert"]

    for anybody in (bob, None):
        with service.postgres.session(user_id=anybody) as session:
            assert [row.name for row in session.scalars(invest_queries.public_watchlists())] == ["Shown"]
    with service.postgres.session(user_id=bob) as session:
        assert session.scalars(invest_queries.portfolios(ada)).all() == []
        assert session.scalars(invest_queries.transactions(portfolio.id)).all() == []
        with pytest.raises(NotFoundError):
            trades.buy(session, order, at=NOW)
        with pytest.raises(NotFoundError):
            valuation.value_portfolio(session, portfolio.id, {"ENGN": Price(Decimal(1), NOW)}, at=NOW)
    public_rows = {name: (count + 1, *rest) for name, (count, *rest) in unmoved.items() if name in PUBLIC_LISTS}
    assert reach(service, invest.DOMAIN, bob) == unmoved | public_rows
    assert seen(service, invest.DOMAIN, ada) >= INVEST


def test_rooms(service: Platform) -> None:
    people = []
    for _ in range(3):
        wallet = f"0x{uuid4().hex}{uuid4().hex[:8]}"
        with service.postgres.session() as session:
            nonce = signing_in.nonce_of(session, wallet)
        with service.postgres.session() as session:
            people.append(signing_in.sign_in(session, wallet, nonce))
    ada, bob, eve = people
    unmoved = reach(service, rooms.DOMAIN, eve)
    room, nft = (
        Room(id=uuid4(), name="Apes", collection="BAYC"),
        Nft(id=uuid4(), collection="B", token_id="1", name="A"),
    )
    with service.postgres.session() as session:
        session.add_all([room, nft])
    with service.postgres.session(user_id=ada) as session:
        buyer = placing.place(session, ada, room.id, NewAgent(name="Ada's", role="buyer", starting_price=Decimal(8)))
    with service.postgres.session(user_id=bob) as session:
        seller = placing.place(
            session, bob, room.id, NewAgent(name="Bob's", role="seller", starting_price=Decimal(12), nft_id=nft.id)
        )
        counted = statistics.room_statistics(session, room.id)
        assert counted == statistics.RoomStatistics(1, 1, floor_price=Decimal(12), top_bid=Decimal(8))
    with service.postgres.session(user_id=ada) as session:
        deal = dealing.propose(session, buyer_agent_id=buyer.id, seller_agent_id=seller.id, final_price=Decimal(10))
        dealing.lock(session, deal.id, at=NOW)
    with service.postgres.session(user_id=bob) as session:
        dealing.verify(session, deal.id, Consensus(nodes=4, approvals=3), at=NOW)
        assert dealing.complete(session, deal.id, tx_hash="0x1", block_number=1, at=NOW).status == "completed"

    with service.postgres.session(user_id=eve) as session:
        for listed in (room_queries.agents_of(ada), room_queries.deals_of(bob)):
            assert session.scalars(listed).all() == []
        for step in (dealing.agents_of_deal, lambda at, id_: dealing.fail(at, id_, at=NOW)):
            with pytest.raises(NotFoundError):
                step(session, deal.id)
        # what is counted over all users is everybody's
        assert statistics.deals_by_status(session)["completed"] == 1
        ranks = statistics.ranking(session).items
        assert {rank.name: rank.deals_completed for rank in ranks} == {"Ada's": 1, "Bob's": 1}
    assert reach(service, rooms.DOMAIN, eve) == unmoved
    for party in (ada, bob):
        assert seen(service, rooms.DOMAIN, party) >= ROOMS


def test_defi(service: Platform, jobs: Platform, ring: KeyRing) -> None:
    ada, bob = uuid4(), uuid4()
    wanted = Preferences(active_signals=("whale_movement",), notification_channels=("telegram",))
    for user_id, preferences in ((ada, wanted), (bob, None)):
        with service.postgres.session(user_id=user_id) as session:
            defi_users.register(session, f"0x{user_id.hex}{'0' * 8}", preferences, user_id=user_id)
    unmoved = reach(service, defi.DOMAIN, bob)
    with service.postgres.session(user_id=ada) as session:
        defi_users.set_telegram_chat(session, ring, ada, "4711")
        positions.take_snapshot(session, ada, "aave", at=NOW, health_factor=Decimal("1.4"))
        condition = Condition(metric="healthFactor", comparison="below", threshold=Decimal("1.5"))
        action = IntentAction(kind="repay", asset="DAI", amount=Decimal(100))
        intent = intents.intend(session, ada, condition, action, at=NOW)
    with service.postgres.session() as session:
        signals.detect(session, "whale_movement", "BTC", "high", at=NOW, lasts=hours(1))
    assert [action.rows for action in run_job(jobs, "defi.signal-alerts").report.actions] == [1]
    with jobs.postgres.session() as session:
        alert = session.scalars(sa.select(Alert).options(sa.orm.joinedload(Alert.user))).one()
        assert defi_users.telegram_chat_of(ring, alert.user) == "4711"
        defi_alerts.mark_sent(session, alert.id, at=NOW)
        (triggered,) = intents.evaluate(session, ada, {"healthFactor": Decimal("1.4")}, at=NOW)
    with service.postgres.session(user_id=ada) as session:
        assert session.scalars(defi_queries.alerts_of(ada, status="sent")).one().signal.asset == "BTC"
        assert intents.record_executed(session, triggered.id, at=NOW).id == intent.id
        assert session.scalars(defi_queries.latest_position(ada)).one().health_factor == Decimal("1.4")

    loan = Stream("loan", uuid4())
    for version, days in enumerate((400, 380, 1)):
        with service.postgres.session(user_id=ada) as session:
            append(session, loan, version, [NewEvent("lent", {"n": version})], at=NOW - days * DAY)
    dry, real = (run_job(jobs, "defi.archive", dry_run=dry).report for dry in (True, False))
    assert [action.rows for action in real.actions] == [2]
    assert dry.actions == real.actions
    assert run_job(jobs, "defi.archive").report.actions == ()
    with service.postgres.session() as session:
        events = list(read_all(session, archive=Archive.of(service.settings)))
    assert [event.payload["n"] for event in events] == [0, 1, 2]

    with service.postgres.session(user_id=bob) as session:
        assert session.scalars(defi_queries.alerts_of(ada, status="sent")).all() == []
        assert intents.evaluate(session, ada, {"healthFactor": Decimal(1)}, at=NOW) == ()
        for attempt in (
            lambda: defi_users.set_telegram_chat(session, ring, ada, "666"),
            lambda: defi_alerts.mark_acknowledged(session, alert.id, at=NOW),
            lambda: positions.take_snapshot(session, ada, "aave", at=NOW),
        ):
            with pytest.raises(NotFoundError):
                attempt()
    assert reach(service, defi.DOMAIN, bob) == unmoved
    assert is_nothing(reach(service, defi.DOMAIN, None))
    assert seen(service, defi.DOMAIN, ada) == DEFI
