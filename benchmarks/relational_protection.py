"""What protection costs: the same statements with row-level security and without, a column sealed and in the clear.

No target is to be beaten here but one's own: the figures say what is paid, and a fall below them is looked into.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from benchmarks.measuring import Measured, measure
from storekeeper import Platform, connect
from storekeeper.domains.invest.entities import Portfolio, PortfolioAsset, User
from storekeeper.migrations import apply
from storekeeper.servers import running_stack

USERS, PORTFOLIOS, ASSETS = 100, 3, 5
TURNS = 300
PLACE = "invest.users.phone"


def run() -> list[Measured]:
    """Every measurement, on a stack of its own."""
    with tempfile.TemporaryDirectory() as name, running_stack(Path(name)):
        folder = Path(name)
        with connect(directory=folder, root=folder, role="owner") as owner:
            apply(owner)
            users = _users(owner)
            with connect(directory=folder, root=folder) as service:
                return [
                    _listing(service, owner, users, "portfolios of a user, with policies against without", _portfolios),
                    _listing(service, owner, users, "assets through their portfolios, likewise", _assets),
                    _sealed(service, users),
                ]


def _portfolios(user: UUID) -> sa.Select[Portfolio]:
    return sa.select(Portfolio).where(Portfolio.user_id == user)


def _assets(user: UUID) -> sa.Select[PortfolioAsset]:
    return sa.select(PortfolioAsset).join(PortfolioAsset.portfolio).where(Portfolio.user_id == user)


def _listing(service: Platform, owner: Platform, users: list[UUID], name: str, listed: object) -> Measured:
    """The role of services, to whom policies apply, against the owner of the tables, to whom they do not."""
    assert callable(listed)

    def reads(platform: Platform) -> int:
        for turn in range(TURNS):
            user = users[turn % len(users)]
            with platform.postgres.session(user_id=user) as session:
                assert session.scalars(listed(user)).all()
        return TURNS

    return measure(name, lambda: reads(service), lambda: reads(owner), target=0.8)


def _sealed(service: Platform, users: list[UUID]) -> Measured:
    """A column of a person written and read again: sealed under their key and opened, against in the clear."""
    ring = service.keyring

    def both(sealing: bool) -> int:
        for turn in range(TURNS):
            user = users[turn % len(users)]
            person = str(user)
            text = f"+39 06 {turn}"
            with service.postgres.session(user_id=user) as session:
                stored = ring.seal(text, place=PLACE, row=person, person=person) if sealing else text
                session.execute(sa.update(User).where(User.id == user).values(phone=stored))
            with service.postgres.session(user_id=user) as session:
                found = session.scalars(sa.select(User.phone).where(User.id == user)).one()
                assert found is not None
                opened = ring.open(found, place=PLACE, row=person, person=person) if sealing else found
                assert opened == text
        return TURNS

    return measure(
        "a personal column written and read, sealed against clear", lambda: both(True), lambda: both(False), target=0.7
    )


def _users(owner: Platform) -> list[UUID]:
    with owner.postgres.session() as session:
        return [_user(session, number) for number in range(USERS)]


def _user(session: Session, number: int) -> UUID:
    user = User(email=f"user{number}@example.org", password_hash="-" * 60, first_name="Ada", last_name="Lovelace")
    session.add(user)
    session.flush()
    for place in range(PORTFOLIOS):
        portfolio = Portfolio(user_id=user.id, name=f"Portfolio {place}", is_default=place == 0)
        session.add(portfolio)
        session.flush()
        session.add_all(
            PortfolioAsset(portfolio_id=portfolio.id, symbol=f"S{asset}", name="S", shares=1, avg_purchase_price=1)
            for asset in range(ASSETS)
        )
    return user.id
