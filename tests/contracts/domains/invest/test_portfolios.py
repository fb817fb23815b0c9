# Generated from test_portfolios_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Portfolios: one default at most, and none is deleted that has transactions."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from invest_domain import AT, effects_recorded, invest_platform, new_user, order
from storekeeper import InputError, NotFoundError, Platform
from storekeeper.domains.invest.entities import Portfolio
from storekeeper.domains.invest.errors import PortfolioInUseError
from storekeeper.domains.invest.operations.portfolios import (
    NewPortfolio,
    create_portfolio,
    delete_portfolio,
    make_default,
    rename_portfolio,
)
from storekeeper.domains.invest.operations.trades import buy


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with invest_platform(migrated_url) as opened:
        yield opened


def created(platform: Platform, user_id: UUID, name: str, *, default: bool = False) -> Portfolio:
    with platform.postgres.session(user_id=user_id) as session:
        return create_portfolio(session, NewPortfolio(user_id, name, is_default=default))


def defaults(platform: Platform, user_id: UUID) -> dict[str, bool]:
    with platform.postgres.session(user_id=user_id) as session:
        rows = session.execute(sa.select(Portfolio.name, Portfolio.is_default).where(Portfolio.user_id == user_id))
        return {row.name: row.is_default for row in rows}


def test_the_first_is_the_default_until_another_is(platform: Platform) -> None:
    ada, bob = new_user(platform, "ada"), new_user(platform, "bob")
    first = created(platform, ada, "First")
    assert (first.is_default, first.currency, first.initial_value) == (True, "USD", Decimal("0.00"))
    created(platform, ada, "Second")
    assert effects_recorded(platform) == []
    created(platform, ada, "Third", default=True)
    # what is cached was the first one's
    assert effects_recorded(platform) == [("invest.portfolio_changed", f"user:{ada}")]
    created(platform, bob, "His")
    assert defaults(platform, ada) == {"First": False, "Second": False, "Third": True}
    with platform.postgres.session(user_id=ada) as session:
        assert (make_default(session, first.id)).is_default
        make_default(session, first.id)  # which changes nothing
    assert defaults(platform, ada) == {"First": True, "Second": False, "Third": False}
    assert defaults(platform, bob) == {"His": True}


def test_renaming(platform: Platform) -> None:
    ada = new_user(platform)
    portfolio = created(platform, ada, "First")
    with platform.postgres.session(user_id=ada) as session:
        renamed = rename_portfolio(session, portfolio.id, "Engines")
        assert renamed.updated_at > portfolio.updated_at
    assert defaults(platform, ada) == {"Engines": True}


def test_one_with_transactions_stays(platform: Platform) -> None:
    ada = new_user(platform)
    first, second = created(platform, ada, "First"), created(platform, ada, "Second")
    with platform.postgres.session(user_id=ada) as session:
        buy(session, order(first, 1), at=AT)
    with pytest.raises(PortfolioInUseError, match="kept for seven years"):
        with platform.postgres.session(user_id=ada) as session:
            delete_portfolio(session, first.id)
    with platform.postgres.session(user_id=ada) as session:
        delete_portfolio(session, second.id)
    assert defaults(platform, ada) == {"First": True}
    deleted = [key for effect, key in effects_recorded(platform) if effect == "invest.portfolio_deleted"]
    assert deleted == [f"portfolio:{second.id}"]


def test_a_deleted_default_passes_it_on_to_the_oldest(platform: Platform) -> None:
    ada = new_user(platform)
    for name in ("First", "Second", "Third"):
        last = created(platform, ada, name, default=True)
    with platform.postgres.session(user_id=ada) as session:
        delete_portfolio(session, last.id)
    assert defaults(platform, ada) == {"First": True, "Second": False}


def test_what_is_not_there(platform: Platform) -> None:
    nobody = uuid4()
    for operation in (make_default, delete_portfolio):
        with pytest.raises(NotFoundError, match="or it is not yours"):
            with platform.postgres.session() as session:
                operation(session, nobody)
    with pytest.raises(NotFoundError, match="no user"):
        created(platform, nobody, "First")
    with pytest.raises(InputError, match="initial_value"):
        NewPortfolio(nobody, "First", initial_value=Decimal("0.001"))
