"""The orders and trades of one account, indexed for look-ups. The store rebuilds the indexes at start."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from exchanges.paper.engine.records import ZERO, AlgoOrder, Income, Order, Trade


class MarketSymbol(NamedTuple):
    market: str
    symbol: str


class SymbolSide(NamedTuple):
    symbol: str
    side: str


@dataclass(slots=True)
class Blotter:
    # The first part of the keys of `orders` and `by_client` is the market, spot or futures. Where a client order id was
    # used twice, `by_client` holds the newer order.
    orders: dict[tuple[str, int], Order] = field(default_factory=dict)
    by_client: dict[tuple[str, str], Order] = field(default_factory=dict)
    history: dict[MarketSymbol, list[Order]] = field(default_factory=lambda: defaultdict(list))
    open: dict[MarketSymbol, dict[int, Order]] = field(default_factory=lambda: defaultdict(dict))
    trades: dict[MarketSymbol, list[Trade]] = field(default_factory=lambda: defaultdict(list))
    income: list[Income] = field(default_factory=list)
    algos: dict[int, AlgoOrder] = field(default_factory=dict)
    algo_by_client: dict[str, AlgoOrder] = field(default_factory=dict)
    open_algos: dict[str, dict[int, AlgoOrder]] = field(default_factory=lambda: defaultdict(dict))
    # The reserved notional of open futures orders.
    pending: dict[SymbolSide, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))

    def add_order(self, order: Order) -> None:
        self.orders[order.market, order.order_id] = order
        self.by_client[order.market, order.client_order_id] = order
        self.history[MarketSymbol(order.market, order.symbol)].append(order)
        if order.is_open:
            self.open[MarketSymbol(order.market, order.symbol)][order.order_id] = order

    def close_order(self, order: Order) -> None:
        self.open[MarketSymbol(order.market, order.symbol)].pop(order.order_id, None)

    def drop_order(self, order: Order) -> None:
        """Forgets an order. An older order with the same client order id is found again."""
        self.close_order(order)
        del self.orders[order.market, order.order_id]
        self.by_client.pop((order.market, order.client_order_id), None)
        place = MarketSymbol(order.market, order.symbol)
        self.history[place] = [other for other in self.history[place] if other is not order]
        for other in self.orders.values():
            if (other.market, other.client_order_id) == (order.market, order.client_order_id):
                self.by_client[other.market, other.client_order_id] = other

    def drop_algo(self, algo: AlgoOrder) -> None:
        self.close_algo(algo)
        del self.algos[algo.algo_id]
        if self.algo_by_client.get(algo.client_algo_id) is algo:
            del self.algo_by_client[algo.client_algo_id]

    def add_algo(self, algo: AlgoOrder) -> None:
        self.algos[algo.algo_id] = algo
        self.algo_by_client[algo.client_algo_id] = algo
        if algo.is_open:
            self.open_algos[algo.symbol][algo.algo_id] = algo

    def close_algo(self, algo: AlgoOrder) -> None:
        self.open_algos[algo.symbol].pop(algo.algo_id, None)

    def add_trade(self, trade: Trade) -> None:
        self.trades[MarketSymbol(trade.market, trade.symbol)].append(trade)

    def open_orders(self, market: str, symbol: str | None = None) -> list[Order]:
        """The open orders of one symbol, or of all symbols, oldest first."""
        if symbol:
            return list(self.open.get(MarketSymbol(market, symbol), {}).values())
        found = [
            order for (kind, _), orders in self.open.items() if kind == market for order in orders.values()
        ]
        return sorted(found, key=lambda order: order.order_id)

    def open_algo_orders(self, symbol: str | None = None) -> list[AlgoOrder]:
        if symbol:
            return list(self.open_algos.get(symbol, {}).values())
        found = [algo for algos in self.open_algos.values() for algo in algos.values()]
        return sorted(found, key=lambda algo: algo.algo_id)

    def is_client_id_open(self, market: str, client_order_id: str) -> bool:
        """Whether an open order has this id. Binance takes the client order id of an ended order again."""
        order = self.by_client.get((market, client_order_id))
        if order and order.is_open:
            return True
        algo = self.algo_by_client.get(client_order_id) if market == "futures" else None
        return bool(algo and algo.is_open)

    def trades_of(self, order: Order) -> list[Trade]:
        found = self.trades.get(MarketSymbol(order.market, order.symbol), ())
        return [trade for trade in found if trade.order_id == order.order_id]
