# Generated from test_positions_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Users and snapshots of their positions: written exactly, the newest found, loaded by name alone."""

from __future__ import annotations

from collections.abc import Generator
from decimal import Decimal
from uuid import uuid4

import pytest
import sqlalchemy as sa

from defi_domain import AT, HOUR, defi_platform, new_user
from storekeeper import InputError, NotFoundError, Platform, page
from storekeeper.domains.defi.entities import Position, User
from storekeeper.domains.defi.operations.positions import take_snapshot
from storekeeper.domains.defi.operations.users import prefer, register
from storekeeper.domains.defi.queries import (
    NEWEST_POSITIONS,
    latest_position,
    latest_position_of_each,
    latest_positions,
    positions_of,
    user_with_positions,
)
from storekeeper.domains.defi.shapes import Holding, PositionMeta, Preferences
from storekeeper.errors import UniqueError, ValueFitError


@pytest.fixture
def platform(shared_url: str) -> Generator[Platform]:
    with defi_platform(shared_url) as platform:
        yield platform


def test_a_snapshot_is_stored_to_the_last_digit(platform: Platform) -> None:
    user_id = new_user(platform)
    collateral = Holding(symbol="WETH", amount=Decimal("1E+3"), value_usd=Decimal("3500000.000000000000000001"))
    with platform.postgres.session(user_id=user_id) as session:
        taken = take_snapshot(
            session,
            user_id,
            "aave",
            at=AT,
            chain_id=10,
            health_factor=Decimal("1.20000001"),
            collateral=[collateral, Holding.model_validate({"symbol": "X", "amount": "0", "valueUSD": "0", "apy": 1})],
            meta=PositionMeta.model_validate({"ltv": "0.80", "liquidationThreshold": "0.825", "eMode": True}),
        )
        stored = (
            session.execute(
                sa.text("SELECT collateral, debt, metadata FROM defi.positions WHERE id = :id"), {"id": taken.id}
            )
        ).one()
    assert stored.collateral == [
        {"symbol": "WETH", "amount": "1000", "valueUSD": "3500000.000000000000000001"},
        {"symbol": "X", "amount": "0", "valueUSD": "0", "apy": 1},
    ]
    assert stored.debt == []
    assert stored.metadata == {"ltv": "0.80", "liquidationThreshold": "0.825", "eMode": True}
    with platform.postgres.session(user_id=user_id) as session:
        position = (session.scalars(latest_position(user_id))).one()
    assert (position.health_factor, position.chain_id, position.snapshot_at) == (Decimal("1.20000001"), 10, AT)
    assert position.collateral[0] == collateral
    assert position.meta.liquidation_threshold == Decimal("0.825")
    assert (position.meta.model_extra, position.collateral[1].model_extra) == ({"eMode": True}, {"apy": 1})


def test_the_latest_of_a_user_of_each_place_and_of_each_user(platform: Platform) -> None:
    ada, bob = new_user(platform), new_user(platform)
    for user_id, places in ((ada, (("aave", 1), ("aave", 10), ("compound", 1), ("aave", 1))), (bob, (("aave", 1),))):
        with platform.postgres.session(user_id=user_id) as session:
            for hours, (protocol, chain_id) in enumerate(places):
                take_snapshot(session, user_id, protocol, at=AT + hours * HOUR, chain_id=chain_id)
    with platform.postgres.session(user_id=ada) as session:
        assert (session.scalars(latest_position(ada))).one().snapshot_at == AT + 3 * HOUR
        assert (session.scalars(latest_position(ada, chain_id=10))).one().snapshot_at == AT + HOUR
        assert (session.scalars(latest_position(ada, protocol="maker"))).all() == []
        newest = (session.scalars(latest_positions(ada))).all()
        assert [(one.protocol, one.chain_id, (one.snapshot_at - AT) / HOUR) for one in newest] == [
            ("aave", 1, 3),
            ("aave", 10, 1),
            ("compound", 1, 2),
        ]
    with platform.postgres.session() as session:
        each = (session.scalars(latest_position_of_each([ada, bob, uuid4()]))).all()
        assert {one.user_id: one.snapshot_at for one in each} == {ada: AT + 3 * HOUR, bob: AT}


def test_a_user_comes_with_the_positions_that_are_asked_for(platform: Platform) -> None:
    user_id = new_user(platform)
    with platform.postgres.session(user_id=user_id) as session:
        for hours in range(3):
            take_snapshot(session, user_id, "aave", at=AT + hours * HOUR)
    with platform.postgres.session(user_id=user_id) as session:
        user = (session.scalars(user_with_positions(user_id))).one()
        assert len(user.positions) == 3
        with pytest.raises(sa.exc.InvalidRequestError, match="lazy='raise'"):
            assert user.alerts
    with platform.postgres.session(user_id=user_id) as session:
        user = (session.scalars(user_with_positions(user_id, since=AT + HOUR))).one()
        assert len(user.positions) == 2


def test_pages_of_snapshots_are_newest_first(platform: Platform) -> None:
    user_id = new_user(platform)
    with platform.postgres.session(user_id=user_id) as session:
        for hours in (2, 0, 1, 1):
            take_snapshot(session, user_id, "aave", at=AT + hours * HOUR)
        seen: list[Position] = []
        cursor = None
        while True:
            listed = page(session, positions_of(user_id), by=NEWEST_POSITIONS, after=cursor, limit=1)
            seen += listed.items
            cursor = listed.next
            if cursor is None:
                break
    assert [(one.snapshot_at - AT) / HOUR for one in seen] == [2, 1, 1, 0]
    assert len({one.id for one in seen}) == 4


def test_what_is_no_snapshot_is_refused(platform: Platform) -> None:
    user_id = new_user(platform)
    with platform.postgres.session(user_id=user_id) as session:
        with pytest.raises(NotFoundError):
            take_snapshot(session, uuid4(), "aave", at=AT)
        for health_factor in ("NaN", "Infinity", "-1"):
            with pytest.raises(InputError):
                take_snapshot(session, user_id, "aave", at=AT, health_factor=Decimal(health_factor))
        with pytest.raises(InputError, match="Ethereum"):
            take_snapshot(session, user_id, "aave", at=AT, wallet_address="0x12")
    for wrong in ({"health_factor": Decimal(10**10)}, {"protocol": "x" * 51}):
        with pytest.raises(ValueFitError):
            with platform.postgres.session(user_id=user_id) as session:
                take_snapshot(session, user_id, **{"protocol": "aave", "at": AT, **wrong})  # type: ignore[arg-type]  # by name


def test_an_address_is_one_however_it_is_written(platform: Platform) -> None:
    one, other = uuid4(), uuid4()
    address = f"0x{one.hex}ABCDEF01"
    with platform.postgres.session(user_id=one) as session:
        assert (register(session, address, user_id=one)).wallet_address == address.lower()
    with pytest.raises(UniqueError) as refused:
        with platform.postgres.session(user_id=other) as session:
            register(session, address.lower(), user_id=other)
    assert refused.value.constraint == "users_wallet_address_key"


def test_preferences_are_replaced_whole(platform: Platform) -> None:
    user_id = new_user(platform, Preferences(risk_profile="moderate"))
    given = {
        "riskProfile": "aggressive",
        "alertThresholds": {"healthFactor": 1.5},
        "activeSignals": ["funding_rate"],
        "notificationChannels": ["telegram", "in_app"],
        "theme": "dark",
    }
    with platform.postgres.session(user_id=user_id) as session:
        prefer(session, user_id, Preferences.model_validate(given))
    with platform.postgres.session(user_id=user_id) as session:
        raw = session.scalar(sa.text("SELECT preferences FROM defi.users WHERE id = :id"), {"id": user_id})
        user = (session.scalars(sa.select(User).where(User.id == user_id))).one()
    assert raw == given
    assert user.preferences.alert_thresholds == {"healthFactor": 1.5}
    assert user.updated_at > user.created_at
    with platform.postgres.session() as session:
        with pytest.raises(NotFoundError):
            prefer(session, uuid4(), Preferences())
