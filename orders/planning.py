"""From checked legs to rows: one order or cancel instruction per leg and account, not yet saved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q

from exchanges import markets
from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType, OrderType
from exchanges.errors import ExchangeError
from exchanges.markets import MarketBook
from exchanges.symbols import SymbolError, UnknownSymbol
from orders.enums import LegType, OrderStatus
from orders.ids import new_client_order_id
from orders.legs import Leg, in_run_order
from orders.models import Cancellation, Order
from orders.reasons import Denied
from strategies.models import Strategy, StrategyAccount

Books = Mapping[str, MarketBook | ExchangeError]


class SymbolRefused(Exception):
    """No participating account can trade the leg's symbol, or it is ambiguous: nothing of the delivery is run."""

    def __init__(self, leg: Leg, error: SymbolError) -> None:
        super().__init__(error.text)
        self.leg = leg
        self.text = error.text


@dataclass(slots=True)
class Plan:
    """Unsaved rows in run order. `not_found` are CANCEL legs that name no order within reach."""

    orders: list[Order] = field(default_factory=list)
    cancellations: list[Cancellation] = field(default_factory=list)
    not_found: list[Leg] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Planner:
    strategy: Strategy
    shares: Sequence[StrategyAccount]
    books: Books
    signaled_at: datetime | None
    now: datetime

    def plan(self, legs: Iterable[Leg]) -> Plan:
        """Raises SymbolRefused. Reads the database only for CANCEL legs."""
        plan = Plan()
        ordered = in_run_order(legs)
        targets = self._targets(ordered)
        for sequence, leg in enumerate(ordered):
            if leg.leg_type is LegType.CANCEL:
                self._add_cancel(plan, leg, sequence, targets)
            elif leg.leg_type is LegType.CANCEL_ALL_ORDER:
                self._add_cancel_all(plan, leg, sequence)
            else:
                self._add_orders(plan, leg, sequence)
        return plan

    # Orders

    def _add_orders(self, plan: Plan, leg: Leg, sequence: int) -> None:
        found = self._resolve(leg)
        for share in self.shares:
            spec = found[share.account.exchange]
            order = self._order(
                leg, sequence, share, spec.symbol if isinstance(spec, MarketSpec) else leg.symbol
            )
            denied = self._refusal(leg, share, spec)
            if denied is not None:
                _deny(order, denied, self.now)
            plan.orders.append(order)

    def _order(self, leg: Leg, sequence: int, share: StrategyAccount, symbol: str) -> Order:
        return Order(
            leg=leg.index,
            sequence=sequence,
            strategy=self.strategy,
            strategy_account=share,
            account=share.account,
            market_type=self.strategy.market_type,
            symbol=symbol[:80],
            side=leg.side or "",
            order_type=OrderType(leg.leg_type.value),
            qty_per=leg.qty_per,
            qty=leg.qty,
            price=leg.price,
            stop_price=leg.stop_price,
            client_order_id=new_client_order_id(),
            created_at=self.now,
        )

    def _refusal(
        self, leg: Leg, share: StrategyAccount, spec: MarketSpec | SymbolError | ExchangeError
    ) -> Denied | None:
        if isinstance(spec, ExchangeError):
            return Denied("markets_unavailable", {"exchange": share.account.exchange})
        if isinstance(spec, SymbolError):
            return Denied("unknown_symbol", {"symbol": leg.symbol})
        return None if leg.is_closing else self._staleness()

    def _staleness(self) -> Denied | None:
        """Entries that arrive too late are refused; exits and cancels are not."""
        limit = self.strategy.max_lag_s
        if limit is None or self.signaled_at is None:
            return None
        lag_s = int((self.now - self.signaled_at).total_seconds())
        if lag_s <= limit:
            return None
        return Denied("stale_signal", {"lag_s": str(lag_s), "max_lag_s": str(limit)})

    # Symbols

    def _resolve(self, leg: Leg) -> dict[str, MarketSpec | SymbolError | ExchangeError]:
        """What the leg's symbol means at each exchange.

        Raises SymbolRefused where it is ambiguous or delayed anywhere, or unknown everywhere.
        """
        found = {name: _look(book, leg.symbol) for name, book in self.books.items()}
        errors = [error for error in found.values() if isinstance(error, SymbolError)]
        unclear = [error for error in errors if not isinstance(error, UnknownSymbol)]
        if unclear:
            raise SymbolRefused(leg, unclear[0])
        if errors and len(errors) == len(found):
            raise SymbolRefused(leg, errors[0])
        return found

    # Cancels

    def _add_cancel_all(self, plan: Plan, leg: Leg, sequence: int) -> None:
        found = self._resolve(leg) if leg.symbol else {}
        for share in self.shares:
            spec = found.get(share.account.exchange)
            if isinstance(spec, SymbolError | ExchangeError):
                continue  # it has no order with a symbol that it does not know
            symbol = spec.symbol if spec else ""
            plan.cancellations.append(
                self._cancellation(leg, sequence, share, symbol=symbol, side=leg.side or "")
            )

    def _add_cancel(self, plan: Plan, leg: Leg, sequence: int, targets: Sequence[Order]) -> None:
        by_ours = [order for order in targets if order.client_order_id == leg.order_id]
        by_theirs = [order for order in targets if order.exchange_order_id == leg.order_id]
        meant = by_ours or by_theirs
        if len(meant) != 1:  # exchanges number their orders alike: two hits are no name
            plan.not_found.append(leg)
            return
        share = next(share for share in self.shares if share.pk == meant[0].strategy_account_id)
        plan.cancellations.append(
            self._cancellation(leg, sequence, share, symbol=meant[0].symbol, target=meant[0])
        )

    def _cancellation(
        self, leg: Leg, sequence: int, share: StrategyAccount, **fields: object
    ) -> Cancellation:
        return Cancellation(leg=leg.index, sequence=sequence, strategy_account=share, **fields)

    def _targets(self, legs: Iterable[Leg]) -> list[Order]:
        names = {leg.order_id for leg in legs if leg.leg_type is LegType.CANCEL}
        if not names:
            return []
        named = Q(client_order_id__in=names) | Q(exchange_order_id__in=names)
        return list(Order.objects.filter(named, strategy=self.strategy, strategy_account__in=self.shares))


def open_books(shares: Iterable[StrategyAccount], market_type: MarketType, *, now: datetime) -> Books:
    """The market book of each exchange that takes part, or why it could not be had."""
    return {name: _open(name, market_type, now) for name in {share.account.exchange for share in shares}}


def _open(exchange: str, market_type: MarketType, now: datetime) -> MarketBook | ExchangeError:
    try:
        return markets.book(exchange, market_type, now=now)
    except ExchangeError as error:
        return error


def _look(book: MarketBook | ExchangeError, text: str) -> MarketSpec | SymbolError | ExchangeError:
    if isinstance(book, ExchangeError):
        return book
    try:
        return book.resolve(text)
    except SymbolError as error:
        return error


def _deny(order: Order, denied: Denied, now: datetime) -> None:
    """Before the row exists; storing it writes the event."""
    order.status = OrderStatus.DENIED
    order.reason, order.reason_params = denied.code, denied.params
    order.closed_at = order.settled_at = now
