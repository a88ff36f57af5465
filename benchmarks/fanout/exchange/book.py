"""The accounts of the benchmark's exchange: orders, fills and positions, without margin and without rules."""

import itertools
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from exchanges.paper.engine.ledger import Ledger

FEE = Decimal("0.0005")
Json = dict[str, Any]
Fields = dict[str, str]

numbers = itertools.count(8_886_774_001)
ledger = Ledger()  # the paper exchange's ledger, for the catalogue and the prices


def now_ms() -> int:
    return int(time.time() * 1000)


@dataclass(slots=True)
class Order:
    order_id: int
    client_order_id: str
    symbol: str
    side: str
    order_type: str
    quantity: str
    price: str
    reduce_only: bool
    created_at: int
    status: str = "NEW"
    average: str = "0.00"

    def json(self) -> Json:
        """The order as Binance's answer with newOrderRespType=RESULT tells it."""
        is_filled = self.status == "FILLED"
        executed = self.quantity if is_filled else "0.000"
        return {
            "orderId": self.order_id,
            "symbol": self.symbol,
            "status": self.status,
            "clientOrderId": self.client_order_id,
            "price": self.price,
            "avgPrice": self.average,
            "origQty": self.quantity,
            "executedQty": executed,
            "cumQty": executed,
            "cumQuote": str(Decimal(self.quantity) * Decimal(self.average)) if is_filled else "0.00000",
            "timeInForce": "GTC",
            "type": self.order_type,
            "reduceOnly": self.reduce_only,
            "closePosition": False,
            "side": self.side,
            "positionSide": "BOTH",
            "stopPrice": "0.00",
            "workingType": "CONTRACT_PRICE",
            "priceProtect": False,
            "origType": self.order_type,
            "priceMatch": "NONE",
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "goodTillDate": 0,
            "time": self.created_at,
            "updateTime": self.created_at,
        }


@dataclass(slots=True)
class Account:
    """`fills` are by order, because a market order has exactly one fill: Binance's rows of userTrades."""

    orders: dict[int, Order] = field(default_factory=dict)
    by_client_order_id: dict[str, Order] = field(default_factory=dict)
    open_orders: dict[int, Order] = field(default_factory=dict)
    fills: dict[int, Json] = field(default_factory=dict)
    positions: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def place(self, fields: Fields) -> Order:
        """Takes an order. A market order is filled at once, and a limit order rests."""
        order = Order(
            order_id=next(numbers),
            client_order_id=fields["newClientOrderId"],
            symbol=fields["symbol"],
            side=fields["side"],
            order_type=fields["type"],
            quantity=fields["quantity"],
            price=fields.get("price", "0"),
            reduce_only=fields.get("reduceOnly", "").lower() == "true",
            created_at=now_ms(),
        )
        self.orders[order.order_id] = self.by_client_order_id[order.client_order_id] = order
        if order.order_type == "MARKET":
            self._fill(order)
        else:
            self.open_orders[order.order_id] = order
        return order

    def _fill(self, order: Order) -> None:
        price, quantity = ledger.prices[order.symbol], Decimal(order.quantity)
        is_buy = order.side == "BUY"
        self.positions[order.symbol] += quantity if is_buy else -quantity
        order.status, order.average = "FILLED", str(price)
        self.fills[order.order_id] = {
            "symbol": order.symbol,
            "id": order.order_id,
            "orderId": order.order_id,
            "side": order.side,
            "price": str(price),
            "qty": order.quantity,
            "realizedPnl": "0",
            "quoteQty": str(price * quantity),
            "commission": f"{price * quantity * FEE:.8f}",
            "commissionAsset": "USDT",
            "time": order.created_at,
            "positionSide": "BOTH",
            "buyer": is_buy,
            "maker": False,
        }

    def find(self, fields: Fields) -> Order | None:
        if "orderId" in fields:
            return self.orders.get(int(fields["orderId"]))
        return self.by_client_order_id.get(fields.get("origClientOrderId", ""))

    def cancel(self, fields: Fields) -> Order | None:
        order = self.find(fields)
        if order is None or self.open_orders.pop(order.order_id, None) is None:
            return None
        order.status = "CANCELED"
        return order

    def fills_asked(self, fields: Fields) -> Iterable[Json]:
        if "orderId" in fields:
            fill = self.fills.get(int(fields["orderId"]))
            return [] if fill is None else [fill]
        first, since = int(fields.get("fromId", 0)), int(fields.get("startTime", 0))
        return [
            fill
            for fill in self.fills.values()
            if fill["id"] >= first and fill["time"] >= since and fill["symbol"] == fields["symbol"]
        ]


accounts: dict[str, Account] = defaultdict(Account)  # by API key
