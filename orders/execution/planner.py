"""Plans a batch: turns checked legs into unsaved orders and cancel instructions, one per leg and strategy account."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import OrderType
from exchanges.errors import ExchangeError
from exchanges.market_data.catalog import Catalogs, MarketCatalog
from exchanges.market_data.symbols import SymbolError, UnknownSymbol
from orders.domain.enums import CancelType, OrderStatus
from orders.domain.legs import Leg, in_run_order
from orders.domain.lifecycle import CANCELABLE
from orders.domain.positions import Move
from orders.domain.reasons import Denied
from orders.domain.sizing import WHOLE
from orders.domain.terms import NO_ENTRY, TOKEN_NOTIONAL, Aim
from orders.exits.goals import goal_of
from orders.exits.reach import Holdings
from orders.models import Cancellation, Order
from strategies.models import Strategy, StrategyAccount
from strategies.scope import UNLIMITED, Scope

ACTOR = "webhook"


class SymbolRefused(Exception):
    """Refuses the whole delivery for a leg's symbol.

    No participating account can trade the symbol, or the symbol is ambiguous or delayed at any exchange.
    """

    def __init__(self, leg: Leg, error: SymbolError) -> None:
        super().__init__(error.text)
        self.leg = leg
        self.text = error.text


class OutOfScope(Exception):
    """Refuses the whole delivery: the token does not open a leg's symbol, or the side of an entry."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg.index)
        self.leg = leg


@dataclass(slots=True)
class Plan:
    """Unsaved rows in run order. `not_found` has the CANCEL legs that name no order, or several orders, in reach."""

    orders: list[Order] = field(default_factory=list)
    cancellations: list[Cancellation] = field(default_factory=list)
    not_found: list[Leg] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Planner:
    strategy: Strategy
    strategy_accounts: Sequence[StrategyAccount]
    catalogs: Catalogs
    signaled_at: datetime | None
    now: datetime
    viewer_id: (
        int  # the user who reads the answer: what others hold must not show in what is refused or not found
    )
    # Strategy accounts that do not take part any more, and what they still hold or work, for exits and cancels. The
    # holdings name no strategy account that takes part.
    former_accounts: Sequence[StrategyAccount] = ()
    holdings: Holdings = field(default_factory=dict)
    # The sender's own limit for the age of entries, beside the strategy's limit.
    max_lag_s: Decimal | None = None
    # The scope of the sender's token.
    scope: Scope = UNLIMITED

    @property
    def reached(self) -> list[StrategyAccount]:
        return [*self.strategy_accounts, *self.former_accounts]

    def plan(self, legs: Iterable[Leg]) -> Plan:
        """Plans all legs. Reads the database only for CANCEL legs. Raises SymbolRefused, OutOfScope."""
        plan = Plan()
        ordered = in_run_order(legs)
        targets = self._cancel_targets(ordered)
        for sequence, leg in enumerate(ordered):
            match leg.leg_type:
                case CancelType.CANCEL:
                    self._add_cancel(plan, leg, sequence, targets)
                case CancelType.CANCEL_ALL_ORDER:
                    self._add_cancel_all(plan, leg, sequence)
                case OrderType() as order_type:
                    self._add_orders(plan, leg, sequence, order_type)
        return plan

    # Orders

    def _add_orders(self, plan: Plan, leg: Leg, sequence: int, order_type: OrderType) -> None:
        if leg.side is not None and not (leg.may_close or self.scope.lets_enter(leg.side)):
            raise OutOfScope(leg)
        reached = self.reached if leg.may_close else self.strategy_accounts
        found = self._resolve_symbol(leg, leg.symbol) if reached else {}
        model: Order | None = None
        for strategy_account in reached:
            spec = found[strategy_account.account.exchange]
            if not self._concerns(strategy_account, spec):
                continue
            symbol = spec.symbol if isinstance(spec, MarketSpec) else leg.symbol
            model = model or self._model_order(leg, sequence, order_type, strategy_account)
            order = model.for_account(strategy_account, symbol)
            if leg.is_closing:
                _make_exit(order, leg)
            denied = self._denial(leg, strategy_account, spec)
            if denied is not None:
                deny_order(order, denied, self.now)
                order.goal = None  # without a market nobody can hold a position to close
            plan.orders.append(order)

    def _concerns(
        self, strategy_account: StrategyAccount, spec: MarketSpec | SymbolError | ExchangeError
    ) -> bool:
        """Whether an order leg concerns a strategy account that takes part, or that holds or works the symbol.

        Where the exchange's markets are unavailable, or the symbol may mean a market that is held, the result says so.
        """
        symbols = self.holdings.get(strategy_account.pk)
        if symbols is None or isinstance(spec, ExchangeError):
            return True
        meant = spec.candidates if isinstance(spec, SymbolError) else (spec.symbol,)
        return not symbols.isdisjoint(meant)

    def _model_order(
        self, leg: Leg, sequence: int, order_type: OrderType, strategy_account: StrategyAccount
    ) -> Order:
        """The order of the leg with all that the orders of its accounts share."""
        order = Order.compose(
            strategy_account,
            market_type=self.strategy.market_type,
            leg=leg.index,
            sequence=sequence,
            symbol=leg.symbol,
            order_type=order_type,
            side=leg.side or "",
            qty_per=leg.qty_per,
            qty=leg.qty,
            price=leg.price,
            stop_price=leg.stop_price,
            created_at=self.now,
            terms=leg.terms.to_json(),
            tag=leg.tag,
        )
        if self.scope.max_notional is not None:
            order.terms[TOKEN_NOTIONAL] = str(self.scope.max_notional)
        if leg.aim is not None:
            order.terms["on_gap"] = self.strategy.on_gap
            denied = None if leg.is_closing else self._stale_signal() or self._wrong_side(leg.aim)
            if denied is not None:
                order.terms[NO_ENTRY] = {"code": denied.code, "params": denied.params}
        return order

    def _wrong_side(self, aim: Aim) -> Denied | None:
        """The denial of an entry on a side that the token does not open. What the leg closes is closed all the same."""
        side = aim.entry_side
        if self.scope.lets_enter(side):
            return None
        return Denied("token_side", {"side": side.value})

    def _denial(
        self, leg: Leg, strategy_account: StrategyAccount, spec: MarketSpec | SymbolError | ExchangeError
    ) -> Denied | None:
        if isinstance(spec, ExchangeError):
            return Denied("markets_unavailable", {"exchange": strategy_account.account.exchange})
        if isinstance(spec, SymbolError):
            return Denied(spec.code, spec.params)
        return None if leg.may_close else self._stale_signal()

    def _stale_signal(self) -> Denied | None:
        """The denial of an entry that arrives too late. Exits and cancels have no age limit."""
        limits = [limit for limit in (self.strategy.max_lag_s, self.max_lag_s) if limit is not None]
        if not limits or self.signaled_at is None:
            return None
        limit = int(min(limits))
        lag_s = int((self.now - self.signaled_at).total_seconds())
        if lag_s <= limit:
            return None
        return Denied("stale_signal", {"lag_s": str(lag_s), "max_lag_s": str(limit)})

    # Symbols

    def _resolve_symbol(self, leg: Leg, symbol: str) -> dict[str, MarketSpec | SymbolError | ExchangeError]:
        """The market of a symbol of the leg at each exchange, or the error that takes the market's place.

        Raises OutOfScope when the token does not open the symbol at any exchange, and SymbolRefused when the symbol is
        ambiguous or delayed at any exchange, or unknown at all exchanges. Of the exchanges where nobody takes part any
        more, an entry asks none, and another leg only for a known market; an exchange where only others still hold
        something refuses no leg.
        """
        found = {name: _market_or_error(catalog, symbol) for name, catalog in self.catalogs.items()}
        present = self._exchanges_of(self.strategy_accounts)
        errors = {name: error for name, error in found.items() if isinstance(error, SymbolError)}
        if self.scope.symbols and any(not self._is_in_scope(name, spec) for name, spec in found.items()):
            raise OutOfScope(leg)
        unclear = [e for name, e in errors.items() if name in present and not isinstance(e, UnknownSymbol)]
        if unclear:
            raise SymbolRefused(leg, unclear[0])
        leaves = leg.may_close or leg.is_cancel
        asked = present | self._exchanges_of(self._own(self.former_accounts)) if leaves else present
        if asked and asked <= errors.keys():
            raise SymbolRefused(leg, _most_helpful([errors[name] for name in sorted(asked)]))
        return found

    @staticmethod
    def _exchanges_of(accounts: Iterable[StrategyAccount]) -> set[str]:
        return {strategy_account.account.exchange for strategy_account in accounts}

    def _own(self, accounts: Iterable[StrategyAccount]) -> list[StrategyAccount]:
        return [row for row in accounts if row.account.owner_id == self.viewer_id]

    def _is_in_scope(self, exchange: str, spec: MarketSpec | SymbolError | ExchangeError) -> bool:
        """Whether the token opens a market. Where no market is found, nothing is sent either."""
        return not isinstance(spec, MarketSpec) or spec.symbol in self._symbols_in_scope(exchange)

    def _symbols_in_scope(self, exchange: str) -> list[str]:
        """The symbols of the token's scope as the exchange knows them."""
        catalog = self.catalogs[exchange]
        specs = [_market_or_error(catalog, text) for text in self.scope.symbols]
        return list(dict.fromkeys(spec.symbol for spec in specs if isinstance(spec, MarketSpec)))

    # Cancels

    def _add_cancel_all(self, plan: Plan, leg: Leg, sequence: int) -> None:
        """One instruction for each strategy account, and for each symbol where the leg names several symbols.

        A symbol that no exchange knows refuses the delivery: a cancel of less or of more than the sender named would
        leave orders at work, or take away stops, behind the sender's back. Without a symbol the leg means every symbol
        in the token's scope.
        """
        found = [self._resolve_symbol(leg, symbol) for symbol in leg.symbols or (leg.symbol,) if symbol]
        for strategy_account in self.reached:
            exchange = strategy_account.account.exchange
            specs = [markets[exchange] for markets in found]
            # Without a known market the account has no order with the symbol.
            known = [spec.symbol for spec in specs if isinstance(spec, MarketSpec)]
            plan.cancellations += [
                self._new_cancellation(
                    leg, sequence, strategy_account, symbol=symbol, side=leg.side or "", tag=leg.tag
                )
                for symbol in (dict.fromkeys(known) if found else self._whole_scope(exchange))
            ]

    def _whole_scope(self, exchange: str) -> list[str]:
        """The symbols of cancel instructions that shall cancel whatever the token opens; "" stands for all symbols."""
        return self._cancelable_in_scope(exchange) if self.scope.symbols else [""]

    def _cancelable_in_scope(self, exchange: str) -> list[str]:
        """The symbols of the scope, and what is worked under a word of the scope that the exchange does not know now.

        A cancel needs no market: without the list of markets, or for a market that is gone, the words are compared with
        the symbols of our own orders.
        """
        catalog = self.catalogs[exchange]
        unread = [
            text for text in self.scope.symbols if not isinstance(_market_or_error(catalog, text), MarketSpec)
        ]
        known = self._symbols_in_scope(exchange)
        if not unread:
            return known
        wanted = {form for text in unread for form in _compact_forms(text)}
        rows = Order.objects.filter(
            strategy=self.strategy, strategy_account__in=self.reached, status__in=CANCELABLE
        )
        worked = rows.order_by("symbol").values_list("symbol", flat=True).distinct()
        meant = [symbol for symbol in worked if not wanted.isdisjoint(_compact_forms(symbol))]
        return list(dict.fromkeys([*known, *meant]))

    def _add_cancel(self, plan: Plan, leg: Leg, sequence: int, targets: Sequence[Order]) -> None:
        if not leg.order_id:
            self._add_cancel_of_tag(plan, leg, sequence, targets)
            return
        by_ours = [order for order in targets if order.client_order_id == leg.order_id]
        by_theirs = [order for order in targets if order.exchange_order_id == leg.order_id]
        named = by_ours or by_theirs
        if len(named) != 1:  # two exchanges may use the same order id, and then the id names no single order
            plan.not_found.append(leg)
            return
        strategy_account = next(
            strategy_account
            for strategy_account in self.reached
            if strategy_account.pk == named[0].strategy_account_id
        )
        exchange = strategy_account.account.exchange
        if self.scope.symbols and named[0].symbol not in self._cancelable_in_scope(exchange):
            raise OutOfScope(leg)
        plan.cancellations.append(
            self._new_cancellation(leg, sequence, strategy_account, symbol=named[0].symbol, target=named[0])
        )

    def _add_cancel_of_tag(self, plan: Plan, leg: Leg, sequence: int, targets: Sequence[Order]) -> None:
        """Several orders may have one tag: one instruction for each strategy account with such an order.

        Whether a tag is known is told by the viewer's own orders. Who has no account here is told that nothing was
        found only where nobody else takes part.
        """
        pks = {order.strategy_account_id for order in targets if order.tag == leg.tag}
        holders = [strategy_account for strategy_account in self.reached if strategy_account.pk in pks]
        plan.cancellations += [
            self._new_cancellation(leg, sequence, holder, symbol=symbol, side=leg.side or "", tag=leg.tag)
            for holder in holders
            for symbol in self._whole_scope(holder.account.exchange)
        ]
        own = self._own(self.reached)
        if not self._own(holders) and (own or not self.strategy_accounts):
            plan.not_found.append(leg)

    def _new_cancellation(
        self, leg: Leg, sequence: int, strategy_account: StrategyAccount, **fields: object
    ) -> Cancellation:
        return Cancellation(leg=leg.index, sequence=sequence, strategy_account=strategy_account, **fields)

    def _cancel_targets(self, legs: Iterable[Leg]) -> list[Order]:
        cancels = [leg for leg in legs if leg.leg_type is CancelType.CANCEL]
        names = {leg.order_id for leg in cancels if leg.order_id}
        tags = {leg.tag for leg in cancels if not leg.order_id}
        if not cancels:
            return []
        # An order is named by its owner: exchanges count their orders, so a number could be guessed.
        named = Q(client_order_id__in=names) | Q(exchange_order_id__in=names)
        named = named & Q(account__owner=self.viewer_id) | Q(tag__in=tags)
        return list(Order.objects.filter(named, strategy=self.strategy, strategy_account__in=self.reached))


def _compact_forms(symbol: str) -> set[str]:
    """BTC/USDT:USDT, BTCUSDT.P and BINANCE:BTCUSDT share BTCUSDT: without signs, exchange and settlement."""
    upper = symbol.upper().removesuffix(".P").removesuffix("PERP")
    return {re.sub(r"[^A-Z0-9]", "", part) for part in (upper, *upper.split(":"))} - {""}


def _make_exit(order: Order, leg: Leg) -> None:
    """Makes the unsaved order the first attempt of an exit goal.

    A flat position closes whatever is held: the sender's side is the side of the script's order.
    """
    at_most: dict[str, Any] = {}
    if leg.aim is not None:
        order.side = ""
        order.terms["decision"] = Move.EXIT.value
    elif leg.qty_per is None or leg.qty_per > 0:
        sizes = {"qty_per": leg.qty_per, "qty": leg.qty, "quote_qty": leg.terms.quote_qty}
        at_most = {name: str(size) for name, size in sizes.items() if size is not None}
        at_most["levered"] = leg.terms.levered
    if leg.aim is not None or at_most:
        order.qty_per, order.qty = WHOLE, None
    order.goal = goal_of(order, actor=ACTOR, at_most=at_most)


def _most_helpful(errors: Sequence[SymbolError]) -> SymbolError:
    """The first error that names candidates, else the first."""
    return next((error for error in errors if error.params["candidates"]), errors[0])


def _market_or_error(
    catalog: MarketCatalog | ExchangeError, text: str
) -> MarketSpec | SymbolError | ExchangeError:
    if isinstance(catalog, ExchangeError):
        return catalog
    try:
        return catalog.resolve(text)
    except SymbolError as error:
        return error


def deny_order(order: Order, denied: Denied, now: datetime) -> None:
    """Denies an unsaved order. Storing the batch writes the order event."""
    order.status = OrderStatus.DENIED
    order.reason, order.reason_params = denied.code, denied.params
    order.closed_at = order.released_at = now
