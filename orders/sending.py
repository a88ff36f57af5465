"""The last step before the socket: size each order, refuse what must not go out, and commit `submitted`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from exchanges import markets, pauses, vault
from exchanges.adapters.protocol import Capabilities, MarketSpec
from exchanges.amounts import exact
from exchanges.enums import MarketType, OrderType, Side
from exchanges.errors import ExchangeError
from exchanges.fields import plain
from exchanges.gateway import gateway
from exchanges.markets import MarketBook
from orders import gate
from orders.enums import Evidence, OrderStatus
from orders.errands import credentials_of, refresh
from orders.facts import Facts, Standing, read_facts, read_standings
from orders.models import Order
from orders.models.transitions import Transition
from orders.pricing import PriceDesk
from orders.reasons import Denied
from orders.risk import Intended, check_limits, check_state
from orders.sizing import Sized, reference_price, size_closing, size_opening

_USUAL_LOOK_UP = timedelta(seconds=10)

Books = dict[str, MarketBook | ExchangeError]


@dataclass(frozen=True, slots=True)
class Turn:
    """What becomes of the orders whose turn it is. `ask` are other orders to look up before those that wait can go."""

    sent: list[Order]
    waiting: list[Order]
    ask: list[Order]


def prepare(orders: Sequence[Order], *, desk: PriceDesk, actor: str, now: datetime) -> Turn:
    """Commits as `submitted` what may go now. All orders are of one strategy.

    What is neither sent nor waiting was denied, or was moved by someone else; either way it is over.
    """
    pauses.share(now=now)
    books = _books(orders, now)  # before the transaction, and before prices: both may have to ask an exchange
    ready, waiting = _ready(orders, desk, actor, now)
    if not ready:
        return Turn([], waiting, [])
    with transaction.atomic():
        gate.pass_through()
        standings = read_standings(ready)
        facts = read_facts(ready, standings, now=now)
        unpriced = [o for o in ready if not _is_overdue(o, now) and _lacks_price(o, standings, desk)]
        early = [o for o in ready if _comes_too_early(o, facts)]
        held_back = {order.pk for order in (*unpriced, *early)}
        due = [order for order in ready if order.pk not in held_back]
        moved = _commit(due, Judge(facts, books, desk), actor) if due else set()
    for order in unpriced:
        desk.has(_price_key(order), now=now)  # asks for it, now that no transaction is open
    sent = [order for order in due if order.pk in moved and order.status == OrderStatus.SUBMITTED]
    early_places = {(order.strategy_account_id, order.symbol) for order in early}
    ask = [order for place in early_places for order in facts.unsure[place]]
    return Turn(sent, [*waiting, *unpriced, *early], ask)


def _commit(orders: Sequence[Order], judge: "Judge", actor: str) -> set[int]:
    """Writes the verdict on each order and brings all of them up to date."""
    _unqueue(orders, actor, judge.facts.now)
    changes = judge.decide_all(orders, actor)
    moved = Order.objects.transition(changes.values())
    for order in orders:
        if order.pk in moved:
            _apply(order, changes[order.pk])
    refresh([order for order in orders if order.pk not in moved])
    return moved


def preview(orders: Sequence[Order], *, now: datetime) -> None:
    """Sizes unsaved orders in place, waiting for prices; what would be denied is marked so, with its reason."""
    planned = [order for order in orders if order.status == OrderStatus.INITIALIZED]
    if not planned:
        return
    books = _books(
        planned, now
    )  # before the transaction, and before prices: both may have to ask an exchange
    desk, standings = PriceDesk(lambda: now), read_standings(planned)
    desk.fetch({_price_key(o) for o in planned if _wants_last_price(o, standings)}, now=now)
    with transaction.atomic():
        judge = Judge(read_facts(planned, standings, now=now), books, desk)
    for order in planned:
        judge.preview(order)


# Waiting


def _ready(
    orders: Sequence[Order], desk: PriceDesk, actor: str, now: datetime
) -> tuple[list[Order], list[Order]]:
    """Those whose turn has come, and those that wait: for a paused exchange (`queued`), or for a price."""
    ready, paused, unpriced = [], [], []
    for order in orders:
        if _is_overdue(order, now):
            ready.append(order)
        elif _is_paused(order):
            paused.append(order)
        elif _is_market_entry(order) and not desk.has(_price_key(order), now=now):
            unpriced.append(order)
        else:
            ready.append(order)
    _move([o for o in paused if o.status == OrderStatus.INITIALIZED], OrderStatus.QUEUED, actor, now)
    return ready, paused + unpriced


def _comes_too_early(order: Order, facts: Facts) -> bool:
    """An exit while it is open what an order before it became: an entry may have added to what is held, an exit taken
    from it.

    It waits until that is settled. Only where something is held and the exchange itself keeps an exit from growing
    beyond that does it wait no longer than a look-up usually takes.
    """
    unsure = facts.unsure.get((order.strategy_account_id, order.symbol))
    if not order.is_closing or not unsure:
        return False
    holds = facts.exposures[order.strategy_account_id].held.get(order.symbol)
    may_oversize = any(other.is_closing for other in unsure) and not _is_capped_there(order, facts)
    return not holds or may_oversize or facts.now - order.created_at < _USUAL_LOOK_UP


def _is_capped_there(order: Order, facts: Facts) -> bool:
    """Reduce-only bounds an exit by the account's position, which is the strategy's only if no other trades it."""
    abilities = gateway.capabilities(order.account.exchange, MarketType(order.market_type))
    return abilities.has_reduce_only and facts.net[order.account_id, order.symbol].shares <= {
        order.strategy_account_id
    }


def _is_overdue(order: Order, now: datetime) -> bool:
    """Entries expire, exits do not."""
    return not order.is_closing and now - order.created_at > timedelta(seconds=settings.ORDER_MAX_WAIT_S)


def _is_paused(order: Order) -> bool:
    try:
        credentials = credentials_of(order.account)
    except vault.CredentialsUnreadable:
        return False  # it is denied for that
    return gateway.pause_left_s(order.account.exchange, credentials) > 0


def _is_market_entry(order: Order) -> bool:
    return order.order_type == OrderType.MARKET and not order.is_closing


def _wants_last_price(order: Order, standings: Mapping[int, Standing]) -> bool:
    """Market entries are sized by it; others are held against it where their distance is limited."""
    if order.is_closing or _is_market_entry(order):
        return not order.is_closing
    return standings[order.strategy_account_id].limits.max_price_distance_percent is not None


def _lacks_price(order: Order, standings: Mapping[int, Standing], desk: PriceDesk) -> bool:
    return _wants_last_price(order, standings) and not desk.knows(_price_key(order))


def _price_key(order: Order) -> tuple[str, MarketType, str]:
    return (order.account.exchange, MarketType(order.market_type), order.symbol)


def _unqueue(orders: Sequence[Order], actor: str, now: datetime) -> None:
    _move([o for o in orders if o.status == OrderStatus.QUEUED], OrderStatus.INITIALIZED, actor, now)


def _move(orders: Sequence[Order], target: OrderStatus, actor: str, now: datetime) -> None:
    if not orders:
        return
    moved = Order.objects.transition(
        Transition(order.pk, OrderStatus(order.status), target, now, Evidence.LOCAL, actor)
        for order in orders
    )
    for order in orders:
        if order.pk in moved:
            order.status = target


def _books(orders: Sequence[Order], now: datetime) -> Books:
    return {
        exchange: _book(exchange, MarketType(orders[0].market_type), now)
        for exchange in {order.account.exchange for order in orders}
    }


def _book(exchange: str, kind: MarketType, now: datetime) -> MarketBook | ExchangeError:
    try:
        return markets.book(exchange, kind, now=now)
    except ExchangeError as error:
        return error


# Deciding


class Judge:
    """Sizes orders and refuses them, one after another, over the facts of one turn."""

    def __init__(self, facts: Facts, books: Books, desk: PriceDesk) -> None:
        self.facts = facts
        self.books = books
        self.desk = desk

    @exact
    def decide_all(self, orders: Sequence[Order], actor: str) -> dict[int, Transition]:
        return {order.pk: self.decide(order, actor) for order in orders}

    def decide(self, order: Order, actor: str) -> Transition:
        now = self.facts.now
        try:
            sized = self._sized(order)
        except Denied as denied:
            fields = {
                "reason": denied.code,
                "reason_params": denied.params,
                "closed_at": now,
                "settled_at": now,
            }
            return Transition(
                order.pk, OrderStatus.INITIALIZED, OrderStatus.DENIED, now, Evidence.LOCAL, actor, fields
            )
        fields = {
            "side": sized.side,
            "quantity": sized.quantity,
            "price": sized.price,
            "stop_price": sized.stop_price,
            "reduce_only": sized.reduce_only,
            "submitted_at": now,
        }
        return Transition(
            order.pk, OrderStatus.INITIALIZED, OrderStatus.SUBMITTED, now, Evidence.LOCAL, actor, fields
        )

    def preview(self, order: Order) -> None:
        """Sizes or denies an unsaved order in memory."""
        try:
            sized = self._sized(order)
        except Denied as denied:
            order.status, order.reason, order.reason_params = OrderStatus.DENIED, denied.code, denied.params
            return
        order.side, order.quantity, order.reduce_only = sized.side, sized.quantity, sized.reduce_only
        order.price, order.stop_price = sized.price, sized.stop_price

    def _sized(self, order: Order) -> Sized:
        """Raises Denied."""
        standing = self.facts.standings[order.strategy_account_id]
        check_state(standing.strictest, is_exit=order.is_closing)
        if not (standing.takes_part or order.is_closing):
            raise Denied("not_taking_part")
        _check_credentials(order)
        market = self._market(order)
        abilities = gateway.capabilities(order.account.exchange, MarketType(order.market_type))
        if OrderType(order.order_type) not in abilities.order_types:
            params = {"exchange": order.account.exchange, "order_type": order.order_type}
            raise Denied("order_type_unsupported", params)
        if order.is_closing:
            return self._sized_closing(order, market, abilities)
        _check_age(order, self.facts.now)
        self._check_doubts(order)
        last_price = self.desk.price(_price_key(order))
        sized = _sized_opening(order, market, last_price)
        self._check_limits(order, market, sized, standing)
        return sized

    def _market(self, order: Order) -> MarketSpec:
        book = self.books[order.account.exchange]
        if isinstance(book, ExchangeError):
            raise Denied("markets_unavailable", {"exchange": order.account.exchange})
        spec = book.specs.get(order.symbol)
        if spec is None:
            raise Denied("unknown_symbol", {"symbol": order.symbol})
        if (
            not spec.is_active and not order.is_closing
        ):  # whether an exit still goes through is the exchange's word
            raise Denied("market_closed", {"symbol": order.symbol})
        return spec

    def _sized_closing(self, order: Order, market: MarketSpec, abilities: Capabilities) -> Sized:
        assert order.qty_per is not None
        held = self.facts.exposures[order.strategy_account_id].held
        sized = size_closing(
            market=market,
            order_type=OrderType(order.order_type),
            side=Side(order.side) if order.side else None,
            qty_per=order.qty_per,
            price=order.price,
            stop_price=order.stop_price,
            held=held.get(order.symbol, Decimal(0)),
            has_reduce_only=abilities.has_reduce_only,
        )
        return sized if self._net_covers(order, sized) else replace(sized, reduce_only=False)

    def _net_covers(self, order: Order, sized: Sized) -> bool:
        """Strategies that hold against each other on one account cancel out at the exchange: a reduce-only exit of one
        of them would be refused there. Its size is bounded by what it holds when it is sent; should the position go
        before it does, orders.orphans withdraws it."""
        net = self.facts.net[order.account_id, order.symbol]
        left = net.left_without(order.strategy_account_id, sized.side)
        return -sized.side.sign * left >= sized.quantity

    def _check_doubts(self, order: Order) -> None:
        """While it is open what became of an order or a holding, nothing that adds to it goes out."""
        place = (order.account_id, order.symbol)
        if place in self.facts.unknown:
            raise Denied("earlier_order_unknown", {"client_order_id": self.facts.unknown[place]})
        difference = self.facts.differences.get(place)
        if difference is not None:
            numbers = {"ours": plain(difference.ours), "theirs": plain(difference.theirs)}
            raise Denied("position_differs", numbers)

    def _check_limits(self, order: Order, market: MarketSpec, sized: Sized, standing: Standing) -> None:
        exposure = self.facts.exposures[order.strategy_account_id]
        last_price = self.desk.price(_price_key(order))
        kind = OrderType(order.order_type)
        intended = Intended(
            symbol=order.symbol,
            quote=market.quote,
            side=sized.side,
            quantity=sized.quantity,
            reference=reference_price(kind, sized.price, sized.stop_price, last_price),
            limit=sized.price or sized.stop_price,
            last_price=last_price,
        )
        check_limits(intended, standing.limits, exposure)


def _check_credentials(order: Order) -> None:
    try:
        credentials_of(order.account)
    except vault.CredentialsUnreadable as error:
        raise Denied("credentials_unreadable") from error


def _check_age(order: Order, now: datetime) -> None:
    if _is_overdue(order, now):
        waited = int((now - order.created_at).total_seconds())
        raise Denied("expired", {"waited_s": str(waited), "allowed_s": str(settings.ORDER_MAX_WAIT_S)})


def _sized_opening(order: Order, market: MarketSpec, last_price: Decimal | None) -> Sized:
    share = order.strategy_account
    return size_opening(
        market=market,
        order_type=OrderType(order.order_type),
        side=Side(order.side),
        qty_per=order.qty_per,
        qty=order.qty,
        price=order.price,
        stop_price=order.stop_price,
        capital=share.capital,
        capital_currency=share.capital_currency,
        leverage=share.leverage,
        last_price=last_price,
    )


def _apply(order: Order, change: Transition) -> None:
    for name, value in change.fields.items():
        setattr(order, name, value)
    order.status = change.target  # last: whoever sees it finds the rest in place
