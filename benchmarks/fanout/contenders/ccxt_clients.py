"""ccxt's own clients of Binance futures, at the address of the benchmark's exchange."""

from collections.abc import Mapping, Sequence
from typing import Any

from fanout.kinds import ORDERS, SYMBOL, Kind

Arguments = tuple[str, str, str, float, int | None, dict[str, bool]]  # of create_order


def build_client(client_class: Any, address: str, name: str, more: Mapping[str, Any] | None = None) -> Any:
    client = client_class(
        {
            "apiKey": name,
            "secret": "secret" * 8,
            "options": {"fetchMargins": False},
            "enableRateLimit": False,
            **(more or {}),
        }
    )
    client.urls["api"] = {
        name: f"{address}/{url.split('/', 3)[3]}" for name, url in client.urls["api"].items()
    }
    return client


def orders_to_create(kind: Kind) -> Sequence[Arguments]:
    return [
        (
            SYMBOL,
            order.order_type.lower(),
            order.side,
            0.01,
            order.price,
            {"reduceOnly": True} if order.reduce_only else {},
        )
        for order in ORDERS[kind]
    ]
