"""rooms as declared: relationships, protection and what is planned before anything is placed."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, strategies as st
from sqlalchemy.orm import RelationshipDirection

from storekeeper import InputError
from storekeeper.domains import CATALOG
from storekeeper.domains.rooms import DOMAIN
from storekeeper.domains.rooms.agents import PRESETS, NewAgent, NewSwarm, planned
from storekeeper.domains.rooms.checks import moment, price, wallet
from storekeeper.domains.rooms.entities import Base
from storekeeper.domains.rooms.seed import COLLECTIONS

CENTS = st.decimals("0.01", "99999999.99", places=2)
NFTS = tuple(UUID(int=number) for number in range(1, 6))


def test_every_foreign_key_is_a_relationship_both_ways_and_loads_nothing_by_itself() -> None:
    found = set()
    for mapper in Base.registry.mappers:
        for relation in mapper.relationships:
            other = relation.mapper.relationships[str(relation.back_populates)]
            assert (other.mapper, other.back_populates) == (mapper, relation.key)
            assert relation.lazy == "raise"
            if relation.direction is RelationshipDirection.MANYTOONE:
                found |= set(relation.local_columns)
            else:
                assert relation.passive_deletes == "all", "what becomes of them, the server decides"
    assert found == {key.parent for table in DOMAIN.tables for key in table.foreign_keys}


def test_whose_rows_the_tables_hold() -> None:
    protections = {protection.table.name: protection for protection in CATALOG.domain("rooms").protections}
    assert {name: protection.owners for name, protection in protections.items()} == {
        "users": ("id",),
        "nfts": (),
        "rooms": (),
        "swarms": ("user_id",),
        "agents": ("user_id",),
        "deals": ("buyer_user_id", "seller_user_id"),
        "messages": ("agent_id.user_id",),
        "agent_performance": ("agent_id.user_id",),
    }
    assert protections["users"].hidden == ("wallet_address", "nonce")
    assert protections["rooms"].guarded == ("floor_price", "top_bid")
    assert protections["deals"].app == ("SELECT",)


def test_the_seed_is_two_rooms_and_thirty_five_tokens() -> None:
    assert [(one.name, one.tokens) for one in COLLECTIONS] == [("BAYC", 25), ("Cool Cats", 10)]
    assert all(one.tokens <= one.supply for one in COLLECTIONS)


@pytest.mark.parametrize("preset", PRESETS)
@given(size=st.none() | st.integers(2, 60), prices=st.tuples(CENTS, CENTS), nfts=st.integers(0, 5))
def test_a_swarm_is_mixed_as_its_preset_says(
    preset: str, size: int | None, prices: tuple[Decimal, Decimal], nfts: int
) -> None:
    lowest, highest = sorted(prices)
    total = size or PRESETS[preset].total_agents
    buyers = min(max(total * PRESETS[preset].buyers_in_hundred // 100, 1), total - 1)
    nft_ids = NFTS[: min(nfts, total - buyers)]
    swarm = NewSwarm(preset=preset, lowest=lowest, highest=highest, total_agents=size, nft_ids=nft_ids)  # type: ignore[arg-type]  # a key of the presets
    agents = planned(swarm)
    assert Counter(agent.role for agent in agents) == {"buyer": buyers, "seller": total - buyers}
    assert len({agent.name for agent in agents}) == total
    assert sorted(agent.nft_id for agent in agents if agent.nft_id) == sorted(nft_ids)
    assert all(lowest <= agent.starting_price <= highest for agent in agents)
    assert planned(swarm) == agents


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "broker"},
        {"strategy": "reckless"},
        {"communication_style": "rude"},
        {"starting_price": Decimal(0)},
        {"starting_price": Decimal("0.001")},
        {"starting_price": Decimal("Infinity")},
        {"max_price": Decimal(9)},
        {"min_price": Decimal(12), "max_price": Decimal(11)},
        {"role": "seller", "min_price": Decimal(11)},
        {"nft_id": NFTS[0]},
    ],
)
def test_an_agent_that_could_not_be(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {"name": "Ada", "role": "buyer", "starting_price": Decimal(10), **wrong}
    with pytest.raises(InputError):
        NewAgent(**fields)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "bull_run"},
        {"total_agents": 1},
        {"total_agents": 1001},
        {"lowest": Decimal(3)},
        {"nft_ids": NFTS[:3]},
        {"nft_ids": NFTS[:1] * 2},
    ],
)
def test_a_swarm_that_could_not_be(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {"preset": "small_test", "lowest": Decimal(1), "highest": Decimal(2), **wrong}
    with pytest.raises(InputError):
        NewSwarm(**fields)  # type: ignore[arg-type]  # wrong on purpose


@given(CENTS)
def test_a_price_that_fits_is_left_alone(value: Decimal) -> None:
    assert price(value, "x") is value


def test_wallets_and_moments() -> None:
    assert wallet("0x" + "AB" * 20) == "0x" + "ab" * 20
    with pytest.raises(InputError):
        wallet("0x" + "AB" * 19)
    with pytest.raises(InputError):
        moment(datetime(2026, 1, 1))  # noqa: DTZ001  # without a zone, on purpose
