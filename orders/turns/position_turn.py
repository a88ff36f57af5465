"""The turn of a leg that names a position or a target: what the strategy account holds decides what the order is.

The decision is written before the order is sized, in a transaction of its own. A crash afterwards leaves an exit with
its goal, a reversal with the entry inside the goal, or an ordinary entry.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_UP, Decimal
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q

from exchanges.adapters.protocol import MarketSpec
from exchanges.amounts import exact, floor_to_step
from exchanges.enums import MarketType, OrderType, Side
from exchanges.errors import ExchangeError
from exchanges.market_data.catalog import Catalogs
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.keys import PositionKey
from orders.domain.lifecycle import OPEN
from orders.domain.positions import ALERT_MISSED, Decision, Move, Situation, decide, part_of
from orders.domain.reasons import Denied
from orders.domain.sizing import WHOLE, minimum_that_would_do
from orders.domain.terms import NO_ENTRY, Aim, Terms
from orders.exits.goals import goal_of
from orders.models import ExitGoal, MissedAlert, Order, Position
from orders.models.bulk_write import update_all
from orders.models.transitions import Transition, atomic_statuses
from orders.turns.missed_alerts import missed_by_account, store_missed
from orders.turns.reference_prices import ReferencePrices
from orders.turns.relative_prices import has_relative_price, levels_of
from strategies.models.strategy import OnGap

ACTOR = "webhook"
_PERCENT = Decimal(100)
_STEP_OF_PERCENT = Decimal(1).scaleb(-18)
_NOTHING = Decimal(0)
_COLUMNS = ["side", "order_type", "qty_per", "qty", "price", "stop_price", "terms", "goal"]


@dataclass(slots=True)
class _Books:
    held: dict[PositionKey, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    entries: dict[PositionKey, list[tuple[str, bool, Decimal]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    leaving: dict[PositionKey, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))


def decide_positions(
    orders: Sequence[Order], *, prices: ReferencePrices, catalogs: Catalogs, actor: str, now: datetime
) -> list[Order]:
    """Decides the undecided orders, and returns the orders that wait for a price. All orders are of one strategy.

    The orders that stay where they are, or that may not enter, are over afterwards.
    """
    undecided = [order for order in orders if order.is_undecided]
    if not undecided:
        return []
    waiting: list[Order] = []
    changes: list[Transition] = []
    decided: list[Order] = []
    missed: list[MissedAlert] = []
    with atomic_statuses(undecided):
        books = _read_books(undecided)
        for order in undecided:
            terms = Terms.from_json(order.terms)
            assert terms.aim is not None
            situation = _situation(order, terms, books, catalogs, prices)
            try:
                decision = _by_gap_setting(order, decide(terms.aim, situation))
            except ValueError:
                waiting.append(order)
                continue
            missed += missed_by_account(order, terms.aim, decision, situation, now)
            change = _apply(order, terms.aim, decision, situation, actor, now)
            decided.append(order)
            if change is not None:
                changes.append(change)
        _store(decided)
        store_missed(missed)
        Order.objects.transition(changes)
    return waiting


def decide_preview(order: Order, *, prices: ReferencePrices, catalogs: Catalogs, now: datetime) -> None:
    """Decides an unsaved order of a dry run in memory. Without a price the order stays undecided."""
    terms = Terms.from_json(order.terms)
    assert terms.aim is not None
    situation = _situation(order, terms, _read_books([order]), catalogs, prices)
    try:
        decision = _by_gap_setting(order, decide(terms.aim, situation))
    except ValueError:
        return
    change = _apply(order, terms.aim, decision, situation, ACTOR, now)
    if change is not None:
        order.status = change.target
        order.reason = change.fields.get("reason", "")
        order.reason_params = change.fields.get("reason_params", {})


def _read_books(orders: Iterable[Order]) -> _Books:
    """What the strategy accounts hold, their entries at the exchange, and full exits. Three statements."""
    books = _Books()
    strategies = {order.strategy_id for order in orders}
    symbols = {order.symbol for order in orders}
    rows = Position.objects.held().filter(strategy_account__strategy__in=strategies, symbol__in=symbols)
    for strategy_account, symbol, quantity in rows.filter(is_dust=False).values_list(
        "strategy_account_id", "symbol", "quantity"
    ):
        books.held[PositionKey(strategy_account, symbol)] = quantity
    entries = Order.objects.filter(strategy__in=strategies, symbol__in=symbols, status__in=OPEN)
    entries = entries.filter(Q(qty_per__isnull=True) | Q(qty_per__gt=0))
    named = ("strategy_account_id", "symbol", "side", "status", "unknown_since", "quantity", "filled")
    for strategy_account, symbol, side, status, unknown_since, quantity, filled in entries.values_list(
        *named
    ):
        in_doubt = status == OrderStatus.SUBMITTED or unknown_since is not None
        left = (quantity or _NOTHING) - filled
        books.entries[PositionKey(strategy_account, symbol)].append((side, in_doubt, left))
    goals = ExitGoal.objects.pursued().full().filter(strategy__in=strategies, symbol__in=symbols)
    columns = ("batch_id", "sequence", "strategy_account_id", "symbol")
    for batch, sequence, strategy_account, symbol in goals.values_list(*columns):
        books.leaving[PositionKey(strategy_account, symbol)].append((batch, sequence))
    return books


def _situation(
    order: Order, terms: Terms, books: _Books, catalogs: Catalogs, prices: ReferencePrices
) -> Situation:
    assert terms.aim is not None
    held = books.held[order.position_key]
    market = _market_of(order, catalogs)
    price = _price_of(order, market, prices.price(_price_key(order)))
    wanted, entries = terms.aim.entry_side, books.entries[order.position_key]
    known = order.terms.get("known_size")
    return Situation(
        held=held,
        target=_target_quantity(order, terms, market, price),
        known_size=Decimal(known) if known else None,
        is_against=any(in_doubt or side != wanted for side, in_doubt, _left in entries),
        # Only exits of earlier legs and deliveries: a later one closes what this leg opens.
        is_leaving=any(
            place < (order.batch_id or 0, order.sequence) for place in books.leaving[order.position_key]
        ),
        may_short=order.market_type == MarketType.FUTURES,
        least=_NOTHING if market is None else minimum_that_would_do(market, price),
        contracts=order.qty,
        side=Side(order.side) if order.side and terms.aim.position is not None else None,
        working=sum((left for side, _doubt, left in entries if side == wanted), _NOTHING),
        is_script_gap="gap" in order.terms,
    )


def _price_of(order: Order, market: MarketSpec | None, last_price: Decimal | None) -> Decimal | None:
    """The price by which a target is counted: the limit price, else the stop price, else the last price."""
    if market is None or not last_price or not has_relative_price(order):
        return order.price or order.stop_price or last_price
    try:
        levels = levels_of(order, market, last_price)
    except Denied:
        return last_price  # the pre-trade check denies the order
    return levels.price or levels.stop_price


@exact
def _target_quantity(
    order: Order, terms: Terms, market: MarketSpec | None, price: Decimal | None
) -> Decimal | None:
    """The target in base units, signed, on the lot; None without a target or without a price."""
    aim, holder = terms.aim, order.strategy_account
    assert aim is not None
    if aim.position is not None or market is None:
        return None
    if aim.target_qty is not None:
        wanted = aim.target_qty
    elif not price:
        return None
    elif aim.target_quote is not None:
        wanted = aim.target_quote / price
    else:
        is_levered = terms.levered and order.market_type == MarketType.FUTURES
        leverage = holder.leverage if is_levered else Decimal(1)
        wanted = holder.capital * leverage * (aim.target_per or _NOTHING) / (_PERCENT * price)
    size = floor_to_step(abs(wanted), market.lot_size)
    return size if wanted > 0 else -size


def _market_of(order: Order, catalogs: Catalogs) -> MarketSpec | None:
    catalog = catalogs[order.account.exchange]
    return None if isinstance(catalog, ExchangeError) else catalog.specs.get(order.symbol)


def _price_key(order: Order) -> tuple[str, MarketType, str]:
    return (order.account.exchange, MarketType(order.market_type), order.symbol)


def _by_gap_setting(order: Order, decision: Decision) -> Decision:
    """What the strategy wants done where an alert was missed."""
    is_gap = decision.is_gap or "gap" in order.terms
    on_gap = order.terms.get("on_gap", OnGap.FOLLOW)
    if not is_gap or on_gap == OnGap.FOLLOW:
        return decision
    if on_gap == OnGap.REFUSE or decision.move is Move.ENTER:
        return Decision(Move.STAY, is_gap=True, reason=ALERT_MISSED)
    if decision.move is Move.REVERSE:
        return Decision(Move.EXIT, is_gap=True, at_market=True)
    return decision


def _apply(
    order: Order, aim: Aim, decision: Decision, situation: Situation, actor: str, now: datetime
) -> Transition | None:
    """Makes the order what the decision says. Returns the change of status of an order that is over."""
    ending = _ending(order, decision)
    order.terms = {**order.terms, "decision": decision.move.value}
    if ending is not None:
        status, reason, params = ending
        fields = {"reason": reason, "reason_params": params, "closed_at": now, "released_at": now}
        return Transition(order, status, now, Evidence.LOCAL, actor, fields)
    if decision.move is Move.ENTER:
        _make_entry(order, decision)
        return None
    then = _then(order, aim, decision) if decision.move is Move.REVERSE else {}
    if decision.at_market or decision.move is Move.REVERSE:
        order.order_type, order.price, order.stop_price = OrderType.MARKET, None, None
    _make_exit(order, decision, situation)
    assert order.goal is not None
    order.goal.then = {} if NO_ENTRY in order.terms else then
    return None


def _ending(order: Order, decision: Decision) -> tuple[OrderStatus, str, dict[str, str]] | None:
    """Status, reason and numbers of an order that is over with the decision; None for an order that goes on."""
    symbol = {"symbol": order.symbol}
    if decision.move is Move.STAY:
        return OrderStatus.CANCELED, decision.reason, symbol
    if decision.move is not Move.ENTER:
        # The entry after a reversal's exit makes no second exit: another one has begun meanwhile.
        is_second = order.part > 0
        return (OrderStatus.DENIED, "exit_working", {**symbol, "remaining": "?"}) if is_second else None
    no_entry = order.terms.get(NO_ENTRY)
    if no_entry:
        return OrderStatus.DENIED, no_entry["code"], no_entry["params"]
    # The script's order was an exit, and has no size for an entry.
    return None if _has_size(order, decision) else (OrderStatus.CANCELED, ALERT_MISSED, symbol)


def _has_size(order: Order, decision: Decision) -> bool:
    sizes = (order.qty, order.qty_per, order.terms.get("quote_qty"), order.terms.get("risk_per"))
    return decision.quantity is not None or any(size is not None for size in sizes)


@exact
def _make_entry(order: Order, decision: Decision) -> None:
    assert decision.side is not None
    order.side = decision.side
    if decision.quantity is not None:
        order.qty, order.qty_per = decision.quantity, None
        order.terms.pop("quote_qty", None)
        order.terms.pop("risk_per", None)
        return
    order.qty = None if order.qty is None else part_of(order.qty, decision.share)
    order.qty_per = None if order.qty_per is None else part_of(order.qty_per, decision.share)
    if "quote_qty" in order.terms:
        order.terms["quote_qty"] = str(part_of(Decimal(order.terms["quote_qty"]), decision.share))


@exact
def _then(order: Order, aim: Aim, decision: Decision) -> dict[str, Any]:
    """The entry of a reversal, as it is stored inside the exit goal.

    A target is decided again when nothing is held any more, by the price of that time.
    """
    assert decision.side is not None
    terms = {
        name: part for name, part in order.terms.items() if name not in ("decision", "gap", "known_size")
    }
    if aim.position is not None:
        terms["decision"] = Move.ENTER.value
    sizes = {
        "qty": None if order.qty is None else part_of(order.qty, decision.share),
        "qty_per": order.qty_per,
        "price": order.price,
        "stop_price": order.stop_price,
    }
    return {
        **{name: str(number) for name, number in sizes.items() if number is not None},
        "side": decision.side.value,
        "order_type": order.order_type,
        "terms": terms,
        "tag": order.tag,
    }


@exact
def _make_exit(order: Order, decision: Decision, situation: Situation) -> None:
    held = abs(situation.held)
    percent = WHOLE
    if decision.remain and held:
        closed = (held - decision.remain) * _PERCENT / held
        percent = -min(_PERCENT, closed.quantize(_STEP_OF_PERCENT, ROUND_UP))
    order.qty_per, order.qty = percent, None
    order.side = ""
    order.goal = goal_of(order, actor=ACTOR)
    order.goal.batch_id = order.batch_id
    if decision.remain:
        if order.goal.rests:
            order.goal.wanted = held - decision.remain
        else:
            order.goal.to_remain = decision.remain


def _store(orders: Sequence[Order]) -> None:
    goals = [order.goal for order in orders if order.goal is not None]
    ExitGoal.objects.bulk_create(goals)
    for order in orders:
        order.goal = order.goal  # again, because the goal has its primary key by now
    update_all(orders, _COLUMNS, using=DEFAULT_DB_ALIAS)
