"""Purchases, sales and dividends: the transaction and the position that it leads to, as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import cast
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import InputError, RefusedError, record_async
from storekeeper.domains.invest import effects, queries
from storekeeper.domains.invest.entities import PortfolioAsset, Transaction
from storekeeper.domains.invest.errors import AlreadyRecordedError, HistoryError, NotHeldError
from storekeeper.domains.invest.exact import EXACT, checked, fits, rounded
from storekeeper.domains.invest.operations.acting_async import locked_portfolio
from storekeeper.domains.invest.positions import NOTHING_HELD, Kind, Position, Step, after, fold
from storekeeper.domains.invest.worth import worth

_NO_PARTITION = "23514"  # a check of no name: the one by which a partitioned table finds a row's place


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was traded. `id` is the transaction's: with the same one again, nothing is done a second time.

    `shares` have at most six decimals, `price` (of one share; of a dividend, what one share was paid) six, `fees` two.
    `date` is when it happened. `name` and `asset_type` describe an asset that the portfolio does not hold yet.
    """

    portfolio_id: UUID
    symbol: str
    shares: Decimal
    price: Decimal
    date: datetime
    fees: Decimal = Decimal("0.00")
    notes: str | None = None
    name: str | None = None
    asset_type: str = "stock"
    id: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        shares = checked(self.shares, 15, 6, name="shares", operation="trade")
        price = checked(self.price, 18, 6, name="price", operation="trade")
        fees = checked(self.fees, 10, 2, name="fees", operation="trade")
        if shares <= 0 or price <= 0 or fees < 0:
            raise InputError("shares and price are above 0, fees not below", operation="trade", target=self.symbol)
        if not fits(rounded(EXACT.multiply(shares, price), 2), 15, 2):
            raise InputError("comes to 10,000,000,000,000 or more", operation="trade", target=self.symbol)
        if not self.symbol or len(self.symbol) > 32:
            raise InputError("a symbol has 1 to 32 characters", operation="trade", target=self.symbol[:40])
        if self.date.tzinfo is None:
            raise InputError("has no time zone", operation="trade", target="date", hint="give it in UTC")


async def buy(session: AsyncSession, order: Order, *, at: datetime) -> Transaction:
    """Records a purchase, and adds it to the position. Errors: as `sell`."""
    return await _trade(session, "buy", order, at)


async def sell(session: AsyncSession, order: Order, *, at: datetime) -> Transaction:
    """Records a sale, and takes it from the position: where all was sold, no asset is left.

    A transaction may be older than others of its symbol: the position is then folded anew, with it in its place.

    Raises NotHeldError where more would be sold than is held at that moment, or at a later one; AlreadyRecordedError
    where the order's id stands for another transaction; HistoryError where its year is not kept here, or where it comes
    before transactions that are archived; RefusedError where it lies ahead of `at`; NotFoundError, InputError.
    """
    return await _trade(session, "sell", order, at)


async def dividend(session: AsyncSession, order: Order, *, at: datetime) -> Transaction:
    """Records a dividend on a symbol that is, or was, held. Errors: as `sell`."""
    return await _trade(session, "dividend", order, at)


async def positions_by_history(session: AsyncSession, portfolio_id: UUID) -> dict[str, Position]:
    """What a portfolio holds by its transactions alone; of what is stored it must differ in nothing."""
    steps: dict[str, list[Step]] = {}
    for row in (await session.execute(queries.steps(portfolio_id))).all():
        steps.setdefault(row.symbol, []).append(_step(row))
    folded = {symbol: fold(own, symbol=symbol) for symbol, own in steps.items()}
    return {symbol: position for symbol, position in folded.items() if position is not None and position.shares}


async def _trade(session: AsyncSession, kind: Kind, order: Order, at: datetime) -> Transaction:
    portfolio = await locked_portfolio(session, order.portfolio_id, kind)
    if (recorded := await _recorded(session, kind, order)) is not None:
        return recorded
    if order.date > at:
        raise RefusedError(f"its date {order.date} has not come", operation=kind, target=order.symbol)
    asset = await session.scalar(
        sa.select(PortfolioAsset)
        .where(PortfolioAsset.portfolio_id == order.portfolio_id, PortfolioAsset.symbol == order.symbol)
        .execution_options(populate_existing=True)
    )
    position = await _position_with(session, Step(order.date, kind, order.id, order.shares, order.price), order, asset)
    transaction = await _written(session, kind, order)
    await _keep(session, asset, position, order)
    await record_async(
        session,
        effects.PORTFOLIO_CHANGED,
        key=effects.of_user(portfolio.user_id),
        payload=effects.OfUser(user_id=portfolio.user_id),
    )
    return transaction


async def _recorded(session: AsyncSession, kind: Kind, order: Order) -> Transaction | None:
    """The transaction of the order's id, where it is there already. Raises AlreadyRecordedError."""
    found = await session.scalar(sa.select(Transaction).where(Transaction.id == order.id).limit(1))
    if found is None:
        return None
    there = (found.portfolio_id, found.symbol, found.transaction_type, found.shares, found.price, found.fees)
    if (*there, found.transaction_date, found.notes) != (
        *(order.portfolio_id, order.symbol, kind, order.shares, order.price, order.fees, order.date, order.notes),
    ):
        raise AlreadyRecordedError(
            "is the id of another transaction", operation=kind, target=str(order.id), hint="give each its own id"
        )
    return found


async def _position_with(session: AsyncSession, step: Step, order: Order, asset: PortfolioAsset | None) -> Position:
    """The position that the symbol has with one more transaction."""
    newest = (await session.execute(queries.newest_step(order.portfolio_id, order.symbol))).one_or_none()
    stored = None if newest is None else NOTHING_HELD
    if asset is not None:
        stored = Position(asset.shares, asset.avg_purchase_price)
    if newest is None or _step(newest).place < step.place:
        return after(stored, step, symbol=order.symbol)
    steps = [_step(row) for row in (await session.execute(queries.steps(order.portfolio_id, order.symbol))).all()]
    if _folded(steps, order.symbol) != stored:
        raise HistoryError(
            f"is older than others of {order.symbol}, of which the first are not kept here any more",
            operation=step.kind,
            target=str(order.id),
            hint="date it after the newest transaction of the symbol",
        )
    with_it = fold([*steps, step], symbol=order.symbol)
    assert with_it is not None, "a fold of at least one transaction"
    return with_it


def _folded(steps: Sequence[Step], symbol: str) -> Position | None:
    """The fold of what is kept; None where that cannot be all there was."""
    try:
        return fold(steps, symbol=symbol)
    except NotHeldError:
        return None


async def _written(session: AsyncSession, kind: Kind, order: Order) -> Transaction:
    transaction = Transaction(
        id=order.id,
        portfolio_id=order.portfolio_id,
        symbol=order.symbol,
        transaction_type=kind,
        shares=order.shares,
        price=order.price,
        fees=order.fees,
        transaction_date=order.date,
        notes=order.notes,
    )
    session.add(transaction)
    try:
        await session.flush()
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) == _NO_PARTITION and not _constraint(error):
            raise HistoryError(
                f"no transactions of {order.date:%Y} are kept here",
                operation=kind,
                target="invest.transactions",
                hint="the job `partitions` makes the years ahead, `make_partitions` any other",
            ) from error
        raise
    return transaction


async def _keep(session: AsyncSession, asset: PortfolioAsset | None, position: Position, order: Order) -> None:
    """Has the asset be what the position is."""
    if not position.shares:
        if asset is not None:
            await session.delete(asset)
    elif asset is None:
        session.add(
            PortfolioAsset(
                portfolio_id=order.portfolio_id,
                symbol=order.symbol,
                name=order.name or order.symbol,
                asset_type=order.asset_type,
                shares=position.shares,
                avg_purchase_price=position.average,
            )
        )
    elif (asset.shares, asset.avg_purchase_price) != (position.shares, position.average):
        asset.shares, asset.avg_purchase_price = position.shares, position.average
        if asset.current_price is not None:
            value = worth(position, asset.current_price, symbol=order.symbol)
            asset.current_value, asset.unrealized_gain = value.value, value.gain
            asset.unrealized_gain_percent = value.gain_percent
    await session.flush()


def _step(row: sa.Row[UUID, str, str, Decimal, Decimal, datetime]) -> Step:
    return Step(row.transaction_date, cast("Kind", row.transaction_type), row.id, row.shares, row.price)


def _constraint(error: IntegrityError) -> str:
    return getattr(getattr(error.orig, "diag", None), "constraint_name", None) or ""
