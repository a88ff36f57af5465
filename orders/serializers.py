from datetime import datetime
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from exchanges.amounts import plain
from exchanges.models import Account
from orders.domain.lifecycle import OPEN
from orders.models import Order, Position, Trade
from strategies.models import Strategy

ID_SEPARATOR = "-"  # between the client order id and the exchange's trade id, which name a trade


class ExactNumberField(serializers.Field[Decimal, Any, str, Any]):
    """Shows a Decimal as the shortest text with exactly the same value."""

    def to_representation(self, value: Decimal) -> str:
        return plain(value)


def _exact_fields(*names: str) -> dict[str, ExactNumberField]:
    return {name: ExactNumberField(read_only=True) for name in names}


class OrderSerializer(serializers.ModelSerializer[Order]):
    strategy: serializers.SlugRelatedField[Strategy] = serializers.SlugRelatedField(
        slug_field="group_name", read_only=True
    )
    account: serializers.SlugRelatedField[Account] = serializers.SlugRelatedField(
        slug_field="name", read_only=True
    )
    id = serializers.CharField(source="client_order_id", read_only=True)
    error = serializers.CharField(source="reason_text", read_only=True)
    unknown_since = serializers.SerializerMethodField()
    vars().update(_exact_fields("quantity", "price", "stop_price", "filled", "average"))

    class Meta:
        model = Order
        fields = [
            "id", "strategy", "account", "symbol", "side", "order_type", "quantity", "price", "stop_price",
            "reduce_only", "status", "unknown_since", "filled", "average", "client_order_id", "exchange_order_id",
            "reason", "error", "created_at", "submitted_at", "closed_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_unknown_since(self, order: Order) -> datetime | None:
        """Since when nobody knows what became of the order, or of its cancel, at the exchange."""
        return order.unknown_since if order.status in OPEN else None


class TradeSerializer(serializers.ModelSerializer[Trade]):
    strategy = serializers.CharField(source="strategy_account.strategy.group_name", read_only=True)
    account: serializers.SlugRelatedField[Account] = serializers.SlugRelatedField(
        slug_field="name", read_only=True
    )
    id = serializers.SerializerMethodField()
    client_order_id = serializers.CharField(source="order.client_order_id", read_only=True)
    vars().update(_exact_fields("quantity", "price", "fee", "realized_profit"))

    class Meta:
        model = Trade
        fields = [
            "id", "strategy", "account", "client_order_id", "symbol", "trade_id", "side", "quantity", "price", "fee",
            "fee_currency", "is_maker", "realized_profit", "executed_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_id(self, trade: Trade) -> str:
        return f"{trade.order.client_order_id}{ID_SEPARATOR}{trade.trade_id}"


class PositionSerializer(serializers.ModelSerializer[Position]):
    strategy = serializers.CharField(source="strategy_account.strategy.group_name", read_only=True)
    account = serializers.CharField(source="strategy_account.account.name", read_only=True)
    vars().update(_exact_fields("quantity", "entry_price", "realized_profit", "fees"))

    class Meta:
        model = Position
        fields = [
            "strategy",
            "account",
            "symbol",
            "quantity",
            "entry_price",
            "realized_profit",
            "fees",
            "updated_at",
        ]
        read_only_fields = fields
