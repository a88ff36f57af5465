"""The submission of orders before the network call: size or deny each order, and commit `submitted`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from exchanges import pauses, vault
from exchanges.enums import MarketType, OrderType
from exchanges.gateway import Line, gateway
from exchanges.market_data.catalog import Catalogs, open_catalogs
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.keys import HoldingKey
from orders.domain.lifecycle import UNSENT
from orders.exits.goals import entry_after
from orders.exits.resting import makes_room
from orders.models import Order
from orders.models.transitions import Companions, Transition, atomic_statuses
from orders.protection.registration import asks_for_protection, register_protections
from orders.turns import state_lock
from orders.turns.context import OrderContext, TradingPermission, read_context, read_permissions
from orders.turns.exit_turn import ExitTurn, sizes_by_price, waits_for_exit
from orders.turns.position_turn import decide_positions, decide_preview
from orders.turns.pre_trade_check import PreTradeCheck, is_overdue, price_key
from orders.turns.reference_prices import ReferencePrices
from orders.turns.relative_prices import has_relative_price

_COMPARED_WITHIN = timedelta(seconds=5)  # an entry waits so long for a comparison of its account
_PAUSES_WITHIN_S = 0.25  # what another process knows of a pause reaches this process so late at most
_SIZED = ("side", "to_remain", "wanted", "price", "stop_price")  # of a goal, at the turn of an attempt
_PRICE_OF_EXIT_WITHIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Turn:
    """The orders of one turn that may be sent, and the orders that wait.

    The caller looks up the `unsure` orders, for which an exit waits, sends the cancels of the orders that are `in the
    way` of an exit, reads the holdings `in_question`, and compares the accounts that are `not_compared`.
    """

    sent: list[Order]
    waiting: list[Order]
    unsure: list[Order]
    in_the_way: list[Order]
    in_question: list[HoldingKey]
    not_compared: set[int]


def submit_orders(
    orders: Sequence[Order],
    *,
    prices: ReferencePrices,
    actor: str,
    now: datetime,
    owner: int | None = None,
) -> Turn:
    """Commits the orders that may go now as `submitted`. All orders are of one strategy.

    The orders use the share of `owner`, or of each account's owner, in the exchange's request weight.

    An order that is neither sent nor waiting was denied, or another run moved the order meanwhile.
    """
    pauses.synchronize(now=now, within_s=_PAUSES_WITHIN_S)
    catalogs = _catalogs_of(orders, now, owner)
    undecided = decide_positions(orders, prices=prices, catalogs=catalogs, actor=actor, now=now)
    orders, undecided = _end_overdue(orders, undecided, prices, actor, now)
    ready, waiting = _split_ready(orders, prices, actor, now, owner)
    waiting += undecided
    if not ready:
        return Turn([], waiting, [], [], [], set())
    prices.recall({price_key(order) for order in ready}, now=now)
    with atomic_statuses(ready):
        context = read_context(ready, now=now, first=state_lock.shared_hold())
        unpriced = [
            o for o in ready if not is_overdue(o, now) and _lacks_price(o, context.permissions, prices)
        ]
        unpriced += [o for o in ready if _waits_for_notional(o, prices, now)]
        in_the_way = _cancel_in_the_way(ready, context, actor)
        early = [o for o in ready if _comes_too_early(o, context)]
        held_back = {order.pk for order in (*unpriced, *early)}
        due = [order for order in ready if order.pk not in held_back]
        moved = _commit_orders(due, PreTradeCheck(context, catalogs, prices), actor) if due else set()
    for order in unpriced:
        prices.request(price_key(order), now=now)  # after the transaction, because the call uses the network
    sent = [order for order in due if order.pk in moved and order.status == OrderStatus.SUBMITTED]
    at_exchange = [order for order in in_the_way if order.status == OrderStatus.PENDING_CANCEL]
    unsure = [
        order
        for key in {order.position_key for order in early}
        for order in context.unsure_orders[key]
        if order not in at_exchange
    ]
    in_question = [
        HoldingKey(order.account_id, order.market_type, order.symbol)
        for order in early
        if order.is_closing and ExitTurn(order, context).asks_for_holding()
    ]
    not_compared = {order.account_id for order in early} & set(context.stale_comparisons)
    return Turn(sent, [*waiting, *unpriced, *early], unsure, at_exchange, in_question, not_compared)


def _end_overdue(
    orders: Sequence[Order], undecided: Sequence[Order], prices: ReferencePrices, actor: str, now: datetime
) -> tuple[list[Order], list[Order]]:
    """Returns the orders that are decided, and those that still wait for a price; asks for these prices.

    A target that waits too long for its price is denied.
    """
    overdue = [order for order in undecided if is_overdue(order, now)]
    Order.objects.transition(_denial(order, "price_unavailable", actor, now) for order in overdue)
    waiting = [order for order in undecided if order not in overdue]
    for order in waiting:
        prices.request(price_key(order), now=now)
    decided = [order for order in orders if order not in undecided and order.status in UNSENT]
    return decided, waiting


def _denial(order: Order, reason: str, actor: str, now: datetime) -> Transition:
    fields = {
        "reason": reason,
        "reason_params": {"symbol": order.symbol},
        "closed_at": now,
        "released_at": now,
    }
    return Transition(order, OrderStatus.DENIED, now, Evidence.LOCAL, actor, fields)


def _cancel_in_the_way(orders: Sequence[Order], context: OrderContext, actor: str) -> list[Order]:
    """Marks what stands in the way of exits for a cancel. The exits wait until the ends of these orders are known."""
    found: dict[int, tuple[Order, int]] = {}
    for order in orders:
        if order.goal is not None and order.is_closing:
            for other in ExitTurn(order, context).orders_to_cancel():
                found[other.pk] = (other, order.goal.pk)
    Order.objects.transition(
        makes_room(other, actor=actor, now=context.now, goal_pk=goal) for other, goal in found.values()
    )
    return [other for other, _ in found.values()]


def _comes_too_early(order: Order, context: OrderContext) -> bool:
    if order.is_closing:
        return order.goal is not None and ExitTurn(order, context).comes_too_early()
    is_young = context.now - order.created_at < _COMPARED_WITHIN
    return waits_for_exit(order, context) or (is_young and order.account_id in context.stale_comparisons)


def _commit_orders(orders: Sequence[Order], check: PreTradeCheck, actor: str) -> set[int]:
    """Writes the result of the check for each order; returns the primary keys of the orders that moved."""
    _unqueue_orders(orders, actor, check.context.now)
    unmoved = [order for order in orders if order.status == OrderStatus.INITIALIZED]  # not by another run
    changes = list(check.decide_all(unmoved, actor))  # sizes the goals, too
    goals = {order.pk: order.goal for order in unmoved if order.goal is not None}
    moved = Order.objects.transition(changes, companions=Companions(goals, _SIZED))
    entries = [o for o in unmoved if o.pk in moved and asks_for_protection(o)]
    register_protections([o for o in entries if o.status == OrderStatus.SUBMITTED], now=check.context.now)
    return moved


def preview_orders(orders: Sequence[Order], *, now: datetime, owner: int) -> list[Order]:
    """Sizes or denies unsaved orders in place, with the reason of a denial. Waits for prices.

    Returns the entries of reversals, which follow exits in `orders`.
    """
    planned = [order for order in orders if order.status == OrderStatus.INITIALIZED]
    if not planned:
        return []
    catalogs = _catalogs_of(planned, now, owner)
    prices, permissions = ReferencePrices(lambda: now, owner=owner), read_permissions(planned)
    priced = [
        order
        for order in planned
        if order.is_undecided or _needs_last_price(order, permissions) or _has_checked_notional(order)
    ]
    prices.fetch({price_key(order) for order in priced}, now=now)
    for order in planned:
        if order.is_undecided:
            decide_preview(order, prices=prices, catalogs=catalogs, now=now)
    planned = [
        order for order in planned if order.status == OrderStatus.INITIALIZED and not order.is_undecided
    ]
    entries = [entry_after(order.goal) for order in planned if order.goal is not None and order.goal.then]
    previewed = [*planned, *entries]
    if previewed:
        with transaction.atomic():
            check = PreTradeCheck(read_context(previewed, now=now), catalogs, prices)
        for order in previewed:
            check.preview(order)
    return entries


# Waiting


def _split_ready(
    orders: Sequence[Order], prices: ReferencePrices, actor: str, now: datetime, owner: int | None
) -> tuple[list[Order], list[Order]]:
    """The orders that may be checked now, and the orders that wait: for a price, or `queued` for the exchange.

    An exchange lets wait during a pause, and entries of an owner whose part of the minute's request weight is used up.

    An overdue order does not wait: the check denies the order.
    """
    ready, paused, unpriced = [], [], []
    entries: Counter[tuple[Line, int]] = Counter()
    for order in orders:
        if is_overdue(order, now):
            ready.append(order)
        elif (_is_paused(order) and not _may_probe(order)) or _lacks_room(order, entries, owner):
            paused.append(order)
        elif _needs_fresh_price(order) and not prices.request(price_key(order), now=now):
            unpriced.append(order)
        else:
            ready.append(order)
    _move_orders([o for o in paused if o.status == OrderStatus.INITIALIZED], OrderStatus.QUEUED, actor, now)
    return ready, paused + unpriced


def _is_paused(order: Order) -> bool:
    try:
        credentials = vault.credentials_of(order.account)
    except vault.CredentialsUnreadable:
        return False  # the pre-trade check denies the order
    return gateway.pause_left_s(order.account.exchange, credentials) > 0


def _lacks_room(order: Order, entries: Counter[tuple[Line, int]], owner: int | None) -> bool:
    """Whether an entry would take from the request weight of other owners, or of exits. `entries` counts this turn."""
    if order.is_closing:
        return False
    line = Line(order.account.exchange, MarketType(order.market_type))
    payer = order.account.owner_id if owner is None else owner
    entries[line, payer] += 1
    return not gateway.has_room_for_entries(line, entries[line, payer], owner=payer)


def _may_probe(order: Order) -> bool:
    """Whether an exit goes out in spite of a pause: its answer may end the pause, and nothing waits less well.

    During a pause the exchange tells no price, so an exit at a relative price would use up the only probe of a minute.
    """
    if not order.is_closing or order.goal is None or has_relative_price(order):
        return False
    order.is_probe = gateway.may_probe(order.account.exchange, vault.credentials_of(order.account))
    return order.is_probe


def _is_market_entry(order: Order) -> bool:
    return order.order_type == OrderType.MARKET and not order.is_closing


def _needs_fresh_price(order: Order) -> bool:
    """Whether the last price decides about what is sent, as the size of a MARKET entry or as a relative price."""
    return _is_market_entry(order) or has_relative_price(order)


def _needs_last_price(order: Order, permissions: Mapping[int, TradingPermission]) -> bool:
    """Whether an order needs the last price: for a relative price, or an entry for its MARKET size, its protection, or
    the limit of the price distance."""
    if has_relative_price(order):
        return True
    if order.is_closing or _is_market_entry(order):
        return not order.is_closing
    if asks_for_protection(order):
        return True
    return permissions[order.strategy_account_id].limits.max_price_distance_percent is not None


def _lacks_price(order: Order, permissions: Mapping[int, TradingPermission], prices: ReferencePrices) -> bool:
    return _needs_last_price(order, permissions) and not prices.knows(price_key(order))


def _has_checked_notional(order: Order) -> bool:
    """Whether the exchange checks the notional of a market exit, which needs a price."""
    if not order.is_closing or order.order_type != OrderType.MARKET:
        return False
    return not gateway.capabilities(order.account.exchange, MarketType(order.market_type)).has_reduce_only


def _waits_for_notional(order: Order, prices: ReferencePrices, now: datetime) -> bool:
    """An exit waits a second for the price of its notional, and then goes without: the exchange decides.

    A reduce-only leg whose size is an amount of money waits as long, and then is tried again.
    """
    is_young = now - order.created_at < _PRICE_OF_EXIT_WITHIN
    needs_price = _has_checked_notional(order) or (order.goal is not None and sizes_by_price(order.goal))
    return is_young and needs_price and not prices.knows(price_key(order))


def _unqueue_orders(orders: Sequence[Order], actor: str, now: datetime) -> None:
    _move_orders([o for o in orders if o.status == OrderStatus.QUEUED], OrderStatus.INITIALIZED, actor, now)


def _move_orders(orders: Sequence[Order], target: OrderStatus, actor: str, now: datetime) -> None:
    Order.objects.transition(Transition(order, target, now, Evidence.LOCAL, actor) for order in orders)


def _catalogs_of(orders: Sequence[Order], now: datetime, owner: int | None) -> Catalogs:
    """The market catalogs of the orders' exchanges. Opening a catalog may call an exchange.

    So the caller opens the catalogs before the transaction, and before asking for prices.
    """
    exchanges = {order.account.exchange for order in orders}
    payer = orders[0].account.owner_id if owner is None else owner
    return open_catalogs(exchanges, MarketType(orders[0].market_type), now=now, owner=payer)
