"""Agents and swarms before they are placed: what a caller wants, and what a preset makes of it; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from itertools import cycle
from typing import Literal, get_args
from uuid import UUID

from storekeeper import InputError
from storekeeper.domains.rooms.checks import price

Role = Literal["buyer", "seller"]
Strategy = Literal["competitive", "patient", "aggressive", "conservative", "sniper"]
Style = Literal["formal", "casual", "professional", "aggressive"]
PresetName = Literal["small_test", "balanced_market", "high_competition", "buyers_market"]


@dataclass(frozen=True, kw_only=True)
class NewAgent:
    """An agent to be placed. `min_price` is the least that it accepts, `max_price` the most that it pays.

    A seller may list an NFT, one that no other agent lists; without it, it can make no deal. Raises InputError.
    """

    name: str
    role: Role
    starting_price: Decimal
    strategy: Strategy = "competitive"
    communication_style: Style = "professional"
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    nft_id: UUID | None = None
    avatar: str | None = None

    def __post_init__(self) -> None:
        for value, allowed in ((self.role, Role), (self.strategy, Strategy), (self.communication_style, Style)):
            if value not in get_args(allowed):
                raise InputError(
                    f"{value!r} is none of {', '.join(get_args(allowed))}", operation="place", target=self.name
                )
        for name in ("starting_price", "min_price", "max_price"):
            if (value := getattr(self, name)) is not None:
                price(value, name)
        limits_of(self.role, self.starting_price, self.min_price, self.max_price, self.name)
        if self.role == "buyer" and self.nft_id is not None:
            raise InputError("lists an NFT, and is a buyer", operation="place", target=self.name)


def limits_of(role: str, starting: Decimal, least: Decimal | None, most: Decimal | None, name: str) -> None:
    """Checks that nobody starts where they would not deal. Raises InputError."""
    if least is not None and most is not None and least > most:
        raise InputError("accepts nothing that it pays: min_price is above max_price", operation="place", target=name)
    if role == "seller" and least is not None and starting < least:
        raise InputError("starts below the least that it accepts", operation="place", target=name)
    if role == "buyer" and most is not None and starting > most:
        raise InputError("starts above the most that it pays", operation="place", target=name)


@dataclass(frozen=True)
class Preset:
    """How many agents a swarm has unless told otherwise, and how many of a hundred of them buy."""

    total_agents: int
    buyers_in_hundred: int


PRESETS: Mapping[str, Preset] = {
    "small_test": Preset(4, 50),
    "balanced_market": Preset(20, 50),
    "high_competition": Preset(50, 70),
    "buyers_market": Preset(30, 30),
}


@dataclass(frozen=True, kw_only=True)
class NewSwarm:
    """A swarm to be placed: agents that start between `lowest` and `highest`, mixed as the preset says.

    `nft_ids` are listed by its sellers, one each; sellers beyond them list nothing. Raises InputError.
    """

    preset: PresetName
    lowest: Decimal
    highest: Decimal
    total_agents: int | None = None
    nft_ids: tuple[UUID, ...] = ()

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise InputError(f"is none of {', '.join(PRESETS)}", operation="place swarm", target=self.preset)
        if not 2 <= self.size <= 1000:
            raise InputError("has between 2 and 1000 agents", operation="place swarm", target=self.preset)
        if price(self.lowest, "lowest") > price(self.highest, "highest"):
            raise InputError("lowest is above highest", operation="place swarm", target=self.preset)
        if len(set(self.nft_ids)) < len(self.nft_ids) or len(self.nft_ids) > self.size - self.buyers:
            raise InputError(
                f"an NFT is listed once, and there are {self.size - self.buyers} sellers",
                operation="place swarm",
                target=self.preset,
            )

    @property
    def size(self) -> int:
        return PRESETS[self.preset].total_agents if self.total_agents is None else self.total_agents

    @property
    def buyers(self) -> int:
        """At least one, and at least one sells."""
        return min(max(self.size * PRESETS[self.preset].buyers_in_hundred // 100, 1), self.size - 1)


def planned(swarm: NewSwarm) -> tuple[NewAgent, ...]:
    """The agents of a swarm, buyers first: the same for the same swarm.

    Buyers start spread evenly from `lowest` and pay up to `highest`, sellers the other way round: so they can meet.
    """
    strategies, styles = cycle(get_args(Strategy)), cycle(get_args(Style))
    sellers = swarm.size - swarm.buyers
    buying = tuple(
        NewAgent(
            name=f"Buyer {number + 1}",
            role="buyer",
            strategy=next(strategies),
            communication_style=next(styles),
            starting_price=_between(swarm.lowest, swarm.highest, number, swarm.buyers),
            max_price=swarm.highest,
        )
        for number in range(swarm.buyers)
    )
    # in one order, whoever lists them: two swarms with the same NFTs wait for one another only one way round
    listed = sorted(swarm.nft_ids)
    selling = tuple(
        NewAgent(
            name=f"Seller {number + 1}",
            role="seller",
            strategy=next(strategies),
            communication_style=next(styles),
            starting_price=_between(swarm.lowest, swarm.highest, sellers - 1 - number, sellers),
            min_price=swarm.lowest,
            nft_id=listed[number] if number < len(listed) else None,
        )
        for number in range(sellers)
    )
    return buying + selling


def _between(lowest: Decimal, highest: Decimal, step: int, steps: int) -> Decimal:
    share = Decimal(step) / max(steps - 1, 1)
    return (lowest + (highest - lowest) * share).quantize(Decimal("0.01"), ROUND_DOWN)
