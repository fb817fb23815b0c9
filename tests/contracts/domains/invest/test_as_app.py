"""The operations as services run them: as the role app, which sees the rows of one user and what is public."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from invest_domain import AT, ENGINE, held, invest_platform, order
from storekeeper import KeyRing, MasterKeys, NotFoundError, Platform
from storekeeper.domains.invest import queries
from storekeeper.domains.invest.entities import Portfolio
from storekeeper.domains.invest.operations.accounts import Registration, close_account, register, verify_address
from storekeeper.domains.invest.operations.activity import activities, log_activity
from storekeeper.domains.invest.operations.alerts import Wanted, set_alert
from storekeeper.domains.invest.operations.logins import ask_for_reset, log_in, reset_password
from storekeeper.domains.invest.operations.portfolios import NewPortfolio, create_portfolio, delete_portfolio
from storekeeper.domains.invest.operations.sessions import open_session, refresh_session
from storekeeper.domains.invest.operations.trades import buy, sell
from storekeeper.domains.invest.operations.valuation import value_portfolio
from storekeeper.domains.invest.operations.watchlists import add_symbols, create_watchlist
from storekeeper.domains.invest.worth import Price
from storekeeper.sealing import new_master_key

NOW = datetime.now(UTC)


@pytest.fixture
def platform(app_url: str) -> Iterator[Platform]:
    with invest_platform(app_url) as opened:
        yield opened


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[KeyRing]:
    with KeyRing(tmp_path / "keys", MasterKeys.of(new_master_key())) as opened:
        yield opened


def somebody(platform: Platform, ring: KeyRing, name: str) -> UUID:
    wanted = Registration(
        email=f"{name}@example.org", password="correct horse", first_name=name, last_name="L", phone="1"
    )
    with platform.postgres.session() as session:
        new = register(session, wanted, ring=ring)
    with platform.postgres.session() as session:
        verify_address(session, new.verification_token)
    return new.user.id


def test_a_users_life(platform: Platform, ring: KeyRing) -> None:
    ada = somebody(platform, ring, "ada")
    with platform.postgres.session() as session:
        user = log_in(session, "ADA@example.org", "correct horse", at=NOW)
        assert user is not None
        opened = open_session(session, user.id, at=NOW)
    with platform.postgres.session() as session:
        refresh_session(session, opened.refresh_token, at=NOW)
    with platform.postgres.session(user_id=ada) as session:
        portfolio = session.scalars(sa.select(Portfolio)).one()
        buy(session, order(portfolio, 3), at=AT)
        sell(session, order(portfolio, 1, 12), at=AT)
        value_portfolio(session, portfolio.id, {ENGINE: Price(Decimal(12), AT)}, at=AT)
        second = create_portfolio(session, NewPortfolio(ada, "Second", is_default=True))
        delete_portfolio(session, second.id)
        set_alert(session, Wanted(user_id=ada, symbol="A", alert_type="price", condition="above", target=Decimal(1)))
        log_activity(session, ada, "view")
        assert len(activities(session, ada).items) == 1
    assert held(platform, portfolio) == {ENGINE: (Decimal(2), Decimal(10))}
    with platform.postgres.session() as session:
        token = ask_for_reset(session, "ada@example.org", at=NOW)
    assert token is not None
    with platform.postgres.session() as session:
        reset_password(session, token, "battery staple", at=NOW)
    with platform.postgres.session(user_id=ada) as session:
        close_account(session, ada, at=NOW)
    with platform.postgres.session() as session:
        assert log_in(session, "ada@example.org", "battery staple", at=NOW) is None


def test_what_is_anothers_is_not_there(platform: Platform, ring: KeyRing) -> None:
    ada, bob = somebody(platform, ring, "ada"), somebody(platform, ring, "bob")
    with platform.postgres.session(user_id=ada) as session:
        portfolio = session.scalars(sa.select(Portfolio)).one()
        shown = create_watchlist(session, ada, "Shown", public=True)
        create_watchlist(session, ada, "Own")
        add_symbols(session, shown.id, ["A"])
    with platform.postgres.session(user_id=bob) as session:
        with pytest.raises(NotFoundError, match="or it is not yours"):
            delete_portfolio(session, portfolio.id)
        with pytest.raises(NotFoundError):
            buy(session, order(portfolio, 1), at=AT)
        with pytest.raises(NotFoundError):
            add_symbols(session, shown.id, ["B"])
        (seen,) = session.scalars(queries.public_watchlists()).all()
        assert (seen.name, [item.symbol for item in seen.items]) == ("Shown", ["A"])
