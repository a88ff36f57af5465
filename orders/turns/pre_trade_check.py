"""The pre-trade check: sizes an order at the order's turn, or denies the order before sending."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings

from exchanges import vault
from exchanges.adapters.protocol import Capabilities, MarketSpec
from exchanges.amounts import exact, plain
from exchanges.enums import MarketType, OrderType, Side, TimeInForce
from exchanges.errors import ExchangeError
from exchanges.gateway import gateway
from exchanges.market_data.catalog import Catalogs
from exchanges.market_data.prices import Key
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.protection import ExpectedEntry, check_protection, expected_price, quantity_at_risk
from orders.domain.reasons import Denied
from orders.domain.risk_checks import Intended, check_coins, check_limits, check_state
from orders.domain.sizing import Sized, find_closing_side, reference_price, size_closing, size_opening
from orders.domain.terms import TOKEN_NOTIONAL, Terms
from orders.models import ExitGoal, Order
from orders.models.transitions import Transition
from orders.protection.registration import asks_for_protection
from orders.turns.context import OrderContext, TradingPermission
from orders.turns.exit_turn import ExitTurn, exits_before, sizes_by_price
from orders.turns.reference_prices import ReferencePrices
from orders.turns.relative_prices import Levels, check_stop_side, has_relative_price, levels_of

_PERCENT = Decimal(100)


class PreTradeCheck:
    """Sizes or denies the orders of one turn, one after another, from the order context, the markets and the prices."""

    def __init__(self, context: OrderContext, catalogs: Catalogs, prices: ReferencePrices) -> None:
        self.context = context
        self.catalogs = catalogs
        self.prices = prices

    @exact
    def decide_all(self, orders: Sequence[Order], actor: str) -> list[Transition]:
        return [self.decide(order, actor) for order in orders]

    def decide(self, order: Order, actor: str) -> Transition:
        now = self.context.now
        try:
            sized = self._sized_order(order)
        except Denied as denied:
            fields = {
                "reason": denied.code,
                "reason_params": denied.params,
                "closed_at": now,
                "released_at": now,
            }
            return Transition(order, OrderStatus.DENIED, now, Evidence.LOCAL, actor, fields)
        fields = {
            "side": sized.side,
            "quantity": sized.quantity,
            "price": sized.price,
            "stop_price": sized.stop_price,
            "reduce_only": sized.reduce_only,
            "submitted_at": now,
        }
        return Transition(order, OrderStatus.SUBMITTED, now, Evidence.LOCAL, actor, fields)

    def preview(self, order: Order) -> None:
        """Sizes or denies an unsaved order in memory."""
        try:
            sized = self._sized_order(order)
        except Denied as denied:
            order.status, order.reason, order.reason_params = OrderStatus.DENIED, denied.code, denied.params
            return
        order.side, order.quantity, order.reduce_only = sized.side, sized.quantity, sized.reduce_only
        order.price, order.stop_price = sized.price, sized.stop_price

    def _sized_order(self, order: Order) -> Sized:
        """The size and the prices of an order that may go out. Raises Denied."""
        permission = self.context.permissions[order.strategy_account_id]
        check_state(permission.strictest, is_exit=order.is_closing)
        if not (permission.takes_part or order.is_closing):
            raise Denied("not_taking_part")
        _check_credentials(order)
        market = self._market_of(order)
        abilities = gateway.capabilities(order.account.exchange, MarketType(order.market_type))
        if OrderType(order.order_type) not in abilities.order_types:
            params = {"exchange": order.account.exchange, "order_type": order.order_type}
            raise Denied("order_type_unsupported", params)
        if order.is_closing:
            return self._sized_closing(order, market, abilities)
        _check_time_in_force(order, abilities)
        _check_age(order, self.context.now)
        self._check_unknowns(order)
        self._check_exits(order)
        last_price = self.prices.price(price_key(order))
        levels = levels_of(order, market, last_price)
        check_stop_side(order, Side(order.side))
        sized = _sized_opening(order, market, levels, last_price)
        self._check_coins(order, sized)
        self._check_limits(order, market, sized, permission)
        _check_protection(order, sized, market, abilities, last_price)
        return sized

    def _market_of(self, order: Order) -> MarketSpec:
        catalog = self.catalogs[order.account.exchange]
        if isinstance(catalog, ExchangeError):
            raise Denied("markets_unavailable", {"exchange": order.account.exchange})
        spec = catalog.specs.get(order.symbol)
        if spec is None:
            raise Denied("unknown_symbol", {"symbol": order.symbol})
        # An exit goes out in a closed market too, and the exchange decides.
        if not spec.is_active and not order.is_closing:
            raise Denied("market_closed", {"symbol": order.symbol})
        return spec

    def _sized_closing(self, order: Order, market: MarketSpec, abilities: Capabilities) -> Sized:
        """The size of an exit: reduce-only where the exchange takes the exit as reduce-only. Raises Denied."""
        turn = ExitTurn(order, self.context)
        levels = levels_of(order, market, self.prices.price(price_key(order)))
        if has_relative_price(order):
            check_stop_side(order, find_closing_side(Side(order.side) if order.side else None, turn.held))
            turn.goal.price, turn.goal.stop_price = levels  # further attempts keep the prices of this turn
        if sizes_by_price(turn.goal):
            turn.at_most = self._money_in_base_units(order, turn.goal, market, levels)
        turn.fix_goal()
        asked, is_capped = turn.quantity(market), abilities.has_reduce_only
        sized = self._sized_exit(order, market, turn.held, asked, levels, is_reduce_only=is_capped)
        if sized.reduce_only and not self._net_covers(order, sized):
            # Without reduce-only the exchange checks the notional of the exit.
            sized = self._sized_exit(order, market, turn.held, asked, levels, is_reduce_only=False)
        turn.goal.side = sized.side
        return sized

    def _money_in_base_units(
        self, order: Order, goal: ExitGoal, market: MarketSpec, levels: Levels
    ) -> Decimal:
        """The size of a reduce-only leg in base units. Raises Denied without a price, and the exit is tried again."""
        price = levels.price or levels.stop_price or self.prices.price(price_key(order))
        if not price:
            raise Denied("price_unavailable", {"symbol": order.symbol})
        sizes: dict[str, Any] = goal.at_most
        if "quote_qty" in sizes:
            return Decimal(sizes["quote_qty"]) / price
        if market.market_type is MarketType.STOCK:
            return Decimal(sizes["qty_per"])
        holder = order.strategy_account
        leverage = holder.leverage if sizes["levered"] and market.market_type is MarketType.FUTURES else 1
        capital: Decimal = holder.capital
        return capital * leverage * Decimal(sizes["qty_per"]) / (_PERCENT * price)

    def _sized_exit(
        self,
        order: Order,
        market: MarketSpec,
        held: Decimal,
        asked: Decimal,
        levels: Levels,
        *,
        is_reduce_only: bool,
    ) -> Sized:
        assert order.qty_per is not None
        return size_closing(
            market=market,
            order_type=OrderType(order.order_type),
            side=Side(order.side) if order.side else None,
            qty_per=order.qty_per,
            asked=asked,
            price=levels.price,
            stop_price=levels.stop_price,
            held=held,
            has_reduce_only=is_reduce_only,
            last_price=self.prices.price(price_key(order)),
        )

    def _net_covers(self, order: Order, sized: Sized) -> bool:
        """Whether the account's net holding covers the exit, so that the exchange takes the exit as reduce-only.

        An exchange nets positions of strategies that hold against each other on one account, and what a person holds
        there besides, and refuses a reduce-only exit beyond the net holding. Such an exit goes out without reduce-only:
        the size is at most the position of the strategy account at sending, and orders.exits.resting cancels the exit
        if the position goes first.
        """
        net = self.context.net_holdings[order.account_symbol]
        held = net.held_after_others(order.strategy_account_id, sized.side)
        return -sized.side.sign * held >= sized.quantity

    def _check_coins(self, order: Order, sized: Sized) -> None:
        """Denies a spot entry that would sell the account's own coins, unless the strategy account allows the sale."""
        is_sale = order.market_type == MarketType.SPOT and sized.side is Side.SELL
        if is_sale and not order.strategy_account.may_sell_own_coins:
            held = self.context.exposures[order.strategy_account_id].held.get(order.symbol, Decimal(0))
            selling = self.context.selling[order.position_key]
            check_coins(order.symbol, sized.quantity, held=held, selling=selling)

    def _check_exits(self, order: Order) -> None:
        """Denies an entry while a full exit of its position is not over: the exit would close the entry at once."""
        exits = exits_before(order, self.context)
        if exits:
            remaining = exits[0].remaining
            params = {"symbol": order.symbol, "remaining": "?" if remaining is None else plain(remaining)}
            raise Denied("exit_working", params)

    def _check_unknowns(self, order: Order) -> None:
        """Denies an entry while the books of the account, or the holding of the symbol, are doubtful. Raises Denied.

        The holding is doubtful while an order has an unknown outcome, or while a lasting position difference exists.
        """
        key = order.account_symbol
        if order.account_id in self.context.stale_comparisons:
            raise self.context.stale_comparisons[order.account_id].denial(self.context.now)
        if key in self.context.unknown_outcomes:
            raise Denied("earlier_order_unknown", {"client_order_id": self.context.unknown_outcomes[key]})
        difference = self.context.differences.get(key)
        if difference is not None:
            numbers = {"ours": plain(difference.ours), "theirs": plain(difference.theirs)}
            raise Denied("position_differs", numbers)
        if key in self.context.waiting_events:
            raise Denied("outside_event_waits", {"symbol": order.symbol})

    def _check_limits(
        self, order: Order, market: MarketSpec, sized: Sized, permission: TradingPermission
    ) -> None:
        exposure = self.context.exposures[order.strategy_account_id]
        last_price = self.prices.price(price_key(order))
        kind = OrderType(order.order_type)
        of_token = order.terms.get(TOKEN_NOTIONAL)
        intended = Intended(
            symbol=order.symbol,
            quote=market.quote,
            side=sized.side,
            quantity=sized.quantity,
            reference=reference_price(kind, sized.price, sized.stop_price, last_price),
            limit=sized.price or sized.stop_price,
            last_price=last_price,
            token_notional=Decimal(of_token) if of_token else None,
        )
        check_limits(intended, permission.limits, exposure)


def _check_credentials(order: Order) -> None:
    try:
        vault.credentials_of(order.account)
    except vault.CredentialsUnreadable as error:
        raise Denied("credentials_unreadable") from error


def _check_time_in_force(order: Order, abilities: Capabilities) -> None:
    """Raises Denied where the exchange, or the order type, does not know the time in force."""
    asked = TimeInForce(order.terms.get("time_in_force", TimeInForce.GTC))
    is_possible = asked in abilities.times_in_force and order.order_type == OrderType.LIMIT
    if asked is not TimeInForce.GTC and not is_possible:
        params = {
            "exchange": order.account.exchange,
            "order_type": order.order_type,
            "time_in_force": asked.value,
        }
        raise Denied("time_in_force_unsupported", params)


def _check_age(order: Order, now: datetime) -> None:
    if is_overdue(order, now):
        waited = int((now - order.created_at).total_seconds())
        raise Denied("expired", {"waited_s": str(waited), "allowed_s": str(settings.ORDER_MAX_WAIT_S)})


def _sized_opening(order: Order, market: MarketSpec, levels: Levels, last_price: Decimal | None) -> Sized:
    strategy_account = order.strategy_account
    terms = Terms.from_json(order.terms)
    qty = order.qty if terms.risk_per is None else _quantity_at_risk(order, terms, market, levels, last_price)
    return size_opening(
        market=market,
        order_type=OrderType(order.order_type),
        side=Side(order.side),
        qty_per=order.qty_per,
        qty=qty,
        quote_qty=terms.quote_qty,
        price=levels.price,
        stop_price=levels.stop_price,
        capital=strategy_account.capital,
        capital_currency=strategy_account.capital_currency,
        leverage=strategy_account.leverage if terms.levered else Decimal(1),
        last_price=last_price,
    )


def _quantity_at_risk(
    order: Order, terms: Terms, market: MarketSpec, levels: Levels, last_price: Decimal | None
) -> Decimal:
    """The quantity for `risk_per`, by the price where the entry is expected to be filled. Raises Denied."""
    assert terms.risk_per is not None
    strategy_account, side = order.strategy_account, Side(order.side)
    if strategy_account.capital_currency.upper() != market.quote.upper():
        numbers = {"capital_currency": strategy_account.capital_currency, "quote": market.quote}
        raise Denied("capital_currency_mismatch", {"symbol": market.symbol, **numbers})
    return quantity_at_risk(
        terms.protection,
        expected_price(OrderType(order.order_type), side, levels.price, levels.stop_price, last_price),
        sign=side.sign,
        capital=strategy_account.capital,
        risk_per=terms.risk_per,
        market=market,
    )


def _check_protection(
    order: Order, sized: Sized, market: MarketSpec, abilities: Capabilities, last_price: Decimal | None
) -> None:
    """Denies an entry that cannot be protected as asked. Raises Denied."""
    if not asks_for_protection(order):
        return
    exchange = order.account.exchange
    if order.market_type == MarketType.SPOT and sized.side is Side.SELL:
        raise Denied("protection_unsupported", {"exchange": exchange})
    kind = OrderType(order.order_type)
    price = expected_price(kind, sized.side, sized.price, sized.stop_price, last_price)
    if price is None:
        raise Denied("price_unavailable", {"symbol": order.symbol})
    check_protection(
        Terms.from_json(order.terms).protection,
        ExpectedEntry(sized.side, sized.quantity, price),
        market=market,
        order_types=abilities.order_types,
        exchange=exchange,
        notional=not abilities.has_reduce_only,
    )


def is_overdue(order: Order, now: datetime) -> bool:
    """Whether an entry has waited longer than ORDER_MAX_WAIT_S. Exits do not expire."""
    return not order.is_closing and now - order.created_at > timedelta(seconds=settings.ORDER_MAX_WAIT_S)


def price_key(order: Order) -> Key:
    return (order.account.exchange, MarketType(order.market_type), order.symbol)
