"""The submission of orders before the network call: size or deny each order, and commit `submitted`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from exchanges import pauses, vault
from exchanges.enums import MarketType, OrderType
from exchanges.gateway import gateway
from exchanges.market_data.catalog import Catalogs, open_catalogs
from orders.domain.enums import Evidence, OrderStatus
from orders.execution import state_lock
from orders.execution.context import OrderContext, TradingPermission, read_context, read_permissions
from orders.execution.pre_trade_check import PreTradeCheck, is_overdue, price_key
from orders.execution.reference_prices import ReferencePrices
from orders.models import Order
from orders.models.transitions import Transition, atomic_statuses

_USUAL_LOOK_UP = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Turn:
    """The orders of one turn that may be sent, the orders that wait, and `unsure`: the orders for which an exit waits.

    The caller looks up the `unsure` orders.
    """

    sent: list[Order]
    waiting: list[Order]
    unsure: list[Order]


def submit_orders(orders: Sequence[Order], *, prices: ReferencePrices, actor: str, now: datetime) -> Turn:
    """Commits the orders that may go now as `submitted`. All orders are of one strategy.

    An order that is neither sent nor waiting was denied, or another run moved the order meanwhile.
    """
    pauses.synchronize(now=now)
    catalogs = _catalogs_of(orders, now)
    ready, waiting = _split_ready(orders, prices, actor, now)
    if not ready:
        return Turn([], waiting, [])
    with atomic_statuses(ready):
        state_lock.hold_shared()
        permissions = read_permissions(ready)
        context = read_context(ready, permissions, now=now)
        unpriced = [o for o in ready if not is_overdue(o, now) and _lacks_price(o, permissions, prices)]
        early = [o for o in ready if _comes_too_early(o, context)]
        held_back = {order.pk for order in (*unpriced, *early)}
        due = [order for order in ready if order.pk not in held_back]
        moved = _commit_orders(due, PreTradeCheck(context, catalogs, prices), actor) if due else set()
    for order in unpriced:
        prices.request(price_key(order), now=now)  # after the transaction, because the call uses the network
    sent = [order for order in due if order.pk in moved and order.status == OrderStatus.SUBMITTED]
    unsure = [
        order for key in {order.position_key for order in early} for order in context.unsure_orders[key]
    ]
    return Turn(sent, [*waiting, *unpriced, *early], unsure)


def _commit_orders(orders: Sequence[Order], check: PreTradeCheck, actor: str) -> set[int]:
    """Writes the result of the check for each order; returns the primary keys of the orders that moved."""
    _unqueue_orders(orders, actor, check.context.now)
    unmoved = [order for order in orders if order.status == OrderStatus.INITIALIZED]  # not by another run
    return Order.objects.transition(check.decide_all(unmoved, actor))


def preview_orders(orders: Sequence[Order], *, now: datetime) -> None:
    """Sizes or denies unsaved orders in place, with the reason of a denial. Waits for prices."""
    planned = [order for order in orders if order.status == OrderStatus.INITIALIZED]
    if not planned:
        return
    catalogs = _catalogs_of(planned, now)
    prices, permissions = ReferencePrices(lambda: now), read_permissions(planned)
    prices.fetch({price_key(o) for o in planned if _needs_last_price(o, permissions)}, now=now)
    with transaction.atomic():
        check = PreTradeCheck(read_context(planned, permissions, now=now), catalogs, prices)
    for order in planned:
        check.preview(order)


# Waiting


def _split_ready(
    orders: Sequence[Order], prices: ReferencePrices, actor: str, now: datetime
) -> tuple[list[Order], list[Order]]:
    """The orders that may be checked now, and the orders that wait for a paused exchange (`queued`) or for a price.

    An overdue order does not wait: the check denies the order.
    """
    ready, paused, unpriced = [], [], []
    for order in orders:
        if is_overdue(order, now):
            ready.append(order)
        elif _is_paused(order):
            paused.append(order)
        elif _is_market_entry(order) and not prices.request(price_key(order), now=now):
            unpriced.append(order)
        else:
            ready.append(order)
    _move_orders([o for o in paused if o.status == OrderStatus.INITIALIZED], OrderStatus.QUEUED, actor, now)
    return ready, paused + unpriced


def _comes_too_early(order: Order, context: OrderContext) -> bool:
    """Whether an exit waits, because the position may still change through an earlier order for the same position.

    The earlier order has an unknown outcome, or may have filled since the last look-up: an entry may have added to the
    position, an exit may have taken from the position. A successful look-up ends the wait. The wait also ends after
    _USUAL_LOOK_UP if a position is held and the exit cannot become too large: no earlier exit is unsure, or the
    exchange caps the exit.
    """
    unsure = context.unsure_orders.get(order.position_key)
    if not order.is_closing or not unsure:
        return False
    held = context.exposures[order.strategy_account_id].held.get(order.symbol)
    may_be_too_large = any(other.is_closing for other in unsure) and not _is_capped(order, context)
    return not held or may_be_too_large or context.now - order.created_at < _USUAL_LOOK_UP


def _is_capped(order: Order, context: OrderContext) -> bool:
    """Whether the exchange cuts an exit down to the position of the strategy account.

    Reduce-only caps an exit by the account's position, and so needs an account where no other strategy account holds or
    trades the symbol.
    """
    abilities = gateway.capabilities(order.account.exchange, MarketType(order.market_type))
    traders = context.net_holdings[order.account_symbol].strategy_accounts
    return abilities.has_reduce_only and traders <= {order.strategy_account_id}


def _is_paused(order: Order) -> bool:
    try:
        credentials = vault.credentials_of(order.account)
    except vault.CredentialsUnreadable:
        return False  # the pre-trade check denies the order
    return gateway.pause_left_s(order.account.exchange, credentials) > 0


def _is_market_entry(order: Order) -> bool:
    return order.order_type == OrderType.MARKET and not order.is_closing


def _needs_last_price(order: Order, permissions: Mapping[int, TradingPermission]) -> bool:
    """Whether an entry needs the last price: for the size of a MARKET entry, or for the limit of the price distance."""
    if order.is_closing or _is_market_entry(order):
        return not order.is_closing
    return permissions[order.strategy_account_id].limits.max_price_distance_percent is not None


def _lacks_price(order: Order, permissions: Mapping[int, TradingPermission], prices: ReferencePrices) -> bool:
    return _needs_last_price(order, permissions) and not prices.knows(price_key(order))


def _unqueue_orders(orders: Sequence[Order], actor: str, now: datetime) -> None:
    _move_orders([o for o in orders if o.status == OrderStatus.QUEUED], OrderStatus.INITIALIZED, actor, now)


def _move_orders(orders: Sequence[Order], target: OrderStatus, actor: str, now: datetime) -> None:
    Order.objects.transition(Transition(order, target, now, Evidence.LOCAL, actor) for order in orders)


def _catalogs_of(orders: Sequence[Order], now: datetime) -> Catalogs:
    """The market catalogs of the orders' exchanges. Opening a catalog may call an exchange.

    So the caller opens the catalogs before the transaction, and before asking for prices.
    """
    exchanges = {order.account.exchange for order in orders}
    return open_catalogs(exchanges, MarketType(orders[0].market_type), now=now)
