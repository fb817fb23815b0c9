"""How well a deal serves a goal: limits exclude, merits add up, and less money is never worse."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from deals_domain import offer, person, wish
from storekeeper.domains.deals.entities import Deal, Goal
from storekeeper.domains.deals.relevance import relevance
from storekeeper.domains.deals.shapes import Constraints, ProductSpecs

ME = person().id
SHOP = person().id


def goal(constraints: dict[str, Any] | None = None, **given: Any) -> Goal:
    return wish(ME, constraints=Constraints(**(constraints or {})), **given)


def deal(**given: Any) -> Deal:
    return offer(SHOP, **given)


@pytest.mark.parametrize(
    ("wanted", "offered", "score"),
    [
        # nothing is asked for but a discount, and there is none
        (goal(), deal(), "0.00"),
        (goal(), deal(discount_percent=Decimal("25.00")), "25.00"),
        # at or below the target: the whole share of the price, 40 of 70
        (goal(target_price=Decimal(10)), deal(), "57.14"),
        # half-way between target and limit
        (goal(target_price=Decimal(8), max_budget=Decimal(12)), deal(), "28.57"),
        # without a target: what is saved of the limit
        (goal(max_budget=Decimal(40)), deal(), "42.86"),
        (goal({"max_price": 20}, max_budget=Decimal(40)), deal(), "28.57"),
        # one of two words, 30 of 60
        (goal({"keywords": ["Red", "shoe"]}), deal(title="a RED hat"), "25.00"),
        (goal({"keywords": ["red", "shoe"]}), deal(title="red", description="Shoe!"), "50.00"),
        (goal({"keywords": ["a"]}, target_price=Decimal(10)), deal(title="a", discount_percent=Decimal(100)), "100.00"),
    ],
)
def test_a_score_is_the_weighted_mean_of_what_is_asked_for(wanted: Goal, offered: Deal, score: str) -> None:
    assert relevance(wanted, offered) == Decimal(score)


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        (goal(), deal(category="toys")),
        (goal(max_budget=Decimal("9.99")), deal()),
        (goal({"max_price": "9.99"}), deal()),
        (goal({"min_price": "10.01"}), deal()),
        (goal(min_discount_percent=Decimal(5)), deal()),
        (goal(min_discount_percent=Decimal(5)), deal(discount_percent=Decimal("4.99"))),
        (goal({"min_seller_rating": 4}), deal()),
        (goal({"min_seller_rating": 4}), deal(seller_rating=Decimal("3.9"))),
        (goal({"sources": ["amazon"]}), deal()),
        (goal({"brands": ["Acme"]}), deal()),
        (goal({"brands": ["Acme"]}), deal(product_specs=ProductSpecs(brand="other"))),
        (goal({"excluded_keywords": ["used"]}), deal(title="as good as new, USED")),
    ],
)
def test_what_breaks_a_limit_serves_nothing(wanted: Goal, offered: Deal) -> None:
    assert relevance(wanted, offered) is None


def test_brands_go_by_letters_not_by_case() -> None:
    assert relevance(goal({"brands": ["ACME"]}), deal(product_specs=ProductSpecs(brand="acme"))) is not None


prices = st.decimals("0.01", "999.99", places=2)


@given(
    low=prices,
    high=prices,
    target=st.none() | prices,
    budget=st.none() | prices,
    words=st.lists(st.sampled_from(["red", "blue", "shoe"]), max_size=3),
)
def test_less_money_is_never_worse(
    low: Decimal, high: Decimal, target: Decimal | None, budget: Decimal | None, words: list[str]
) -> None:
    low, high = sorted((low, high))
    wanted = goal({"keywords": words}, target_price=target, max_budget=budget)
    cheap, dear = (relevance(wanted, deal(current_price=price, title="red shoe")) for price in (low, high))
    for score in (cheap, dear):
        assert score is None or 0 <= score <= 100
    if dear is not None:
        assert cheap is not None
        assert cheap >= dear
