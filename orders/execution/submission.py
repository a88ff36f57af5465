"""The last step before the socket: size each order, refuse what must not go out, and commit `submitted`."""

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
from orders.models.transitions import Transition

_USUAL_LOOK_UP = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Turn:
    """What becomes of the orders whose turn it is. `ask` are other orders to look up before those that wait can go."""

    sent: list[Order]
    waiting: list[Order]
    ask: list[Order]


def submit_orders(orders: Sequence[Order], *, prices: ReferencePrices, actor: str, now: datetime) -> Turn:
    """Commits as `submitted` what may go now. All orders are of one strategy.

    What is neither sent nor waiting was denied, or was moved by someone else; either way it is over.
    """
    pauses.synchronize(now=now)
    catalogs = _catalogs_of(orders, now)
    ready, waiting = _ready(orders, prices, actor, now)
    if not ready:
        return Turn([], waiting, [])
    with transaction.atomic():
        state_lock.hold_shared()
        permissions = read_permissions(ready)
        context = read_context(ready, permissions, now=now)
        unpriced = [o for o in ready if not is_overdue(o, now) and _lacks_price(o, permissions, prices)]
        early = [o for o in ready if _comes_too_early(o, context)]
        held_back = {order.pk for order in (*unpriced, *early)}
        due = [order for order in ready if order.pk not in held_back]
        moved = _commit(due, PreTradeCheck(context, catalogs, prices), actor) if due else set()
    for order in unpriced:
        prices.has(price_key(order), now=now)  # asks for it, now that no transaction is open
    sent = [order for order in due if order.pk in moved and order.status == OrderStatus.SUBMITTED]
    ask = [order for key in {order.position_key for order in early} for order in context.unsure[key]]
    return Turn(sent, [*waiting, *unpriced, *early], ask)


def _commit(orders: Sequence[Order], check: PreTradeCheck, actor: str) -> set[int]:
    """Writes the verdict on each order; returns the primary keys of the orders that the verdict moved."""
    _unqueue(orders, actor, check.context.now)
    waiting = [
        order for order in orders if order.status == OrderStatus.INITIALIZED
    ]  # nobody moved the order meanwhile
    return Order.objects.transition(check.decide_all(waiting, actor))


def preview_orders(orders: Sequence[Order], *, now: datetime) -> None:
    """Sizes unsaved orders in place, waiting for prices; what would be denied is marked so, with its reason."""
    planned = [order for order in orders if order.status == OrderStatus.INITIALIZED]
    if not planned:
        return
    catalogs = _catalogs_of(planned, now)
    prices, permissions = ReferencePrices(lambda: now), read_permissions(planned)
    prices.fetch({price_key(o) for o in planned if _wants_last_price(o, permissions)}, now=now)
    with transaction.atomic():
        check = PreTradeCheck(read_context(planned, permissions, now=now), catalogs, prices)
    for order in planned:
        check.preview(order)


# Waiting


def _ready(
    orders: Sequence[Order], prices: ReferencePrices, actor: str, now: datetime
) -> tuple[list[Order], list[Order]]:
    """Those whose turn has come, and those that wait: for a paused exchange (`queued`), or for a price."""
    ready, paused, unpriced = [], [], []
    for order in orders:
        if is_overdue(order, now):
            ready.append(order)
        elif _is_paused(order):
            paused.append(order)
        elif _is_market_entry(order) and not prices.has(price_key(order), now=now):
            unpriced.append(order)
        else:
            ready.append(order)
    _move([o for o in paused if o.status == OrderStatus.INITIALIZED], OrderStatus.QUEUED, actor, now)
    return ready, paused + unpriced


def _comes_too_early(order: Order, context: OrderContext) -> bool:
    """An exit while it is open what an order before it became: an entry may have added to what is held, an exit taken
    from it.

    It waits until that is settled. Only where something is held and the exchange itself keeps an exit from growing
    beyond that does it wait no longer than a look-up usually takes.
    """
    unsure = context.unsure.get(order.position_key)
    if not order.is_closing or not unsure:
        return False
    holds = context.exposures[order.strategy_account_id].held.get(order.symbol)
    may_oversize = any(other.is_closing for other in unsure) and not _is_capped_there(order, context)
    return not holds or may_oversize or context.now - order.created_at < _USUAL_LOOK_UP


def _is_capped_there(order: Order, context: OrderContext) -> bool:
    """Reduce-only bounds an exit by the account's position, which is the strategy's only if no other trades it."""
    abilities = gateway.capabilities(order.account.exchange, MarketType(order.market_type))
    return abilities.has_reduce_only and context.net[order.account_symbol].strategy_accounts <= {
        order.strategy_account_id
    }


def _is_paused(order: Order) -> bool:
    try:
        credentials = vault.credentials_of(order.account)
    except vault.CredentialsUnreadable:
        return False  # it is denied for that
    return gateway.pause_left_s(order.account.exchange, credentials) > 0


def _is_market_entry(order: Order) -> bool:
    return order.order_type == OrderType.MARKET and not order.is_closing


def _wants_last_price(order: Order, permissions: Mapping[int, TradingPermission]) -> bool:
    """Market entries are sized by it; others are held against it where their distance is limited."""
    if order.is_closing or _is_market_entry(order):
        return not order.is_closing
    return permissions[order.strategy_account_id].limits.max_price_distance_percent is not None


def _lacks_price(order: Order, permissions: Mapping[int, TradingPermission], prices: ReferencePrices) -> bool:
    return _wants_last_price(order, permissions) and not prices.knows(price_key(order))


def _unqueue(orders: Sequence[Order], actor: str, now: datetime) -> None:
    _move([o for o in orders if o.status == OrderStatus.QUEUED], OrderStatus.INITIALIZED, actor, now)


def _move(orders: Sequence[Order], target: OrderStatus, actor: str, now: datetime) -> None:
    Order.objects.transition(Transition(order, target, now, Evidence.LOCAL, actor) for order in orders)


def _catalogs_of(orders: Sequence[Order], now: datetime) -> Catalogs:
    """Opened before the transaction, and before prices: both may have to ask an exchange."""
    exchanges = {order.account.exchange for order in orders}
    return open_catalogs(exchanges, MarketType(orders[0].market_type), now=now)
