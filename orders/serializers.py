from decimal import Decimal
from typing import Any

from rest_framework import serializers

from exchanges.amounts import plain
from exchanges.models import Account
from orders.models import Order, Position, Trade
from strategies.models import Strategy


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
    error = serializers.CharField(source="reason_text", read_only=True)
    vars().update(_exact_fields("quantity", "price", "stop_price", "filled", "average"))

    class Meta:
        model = Order
        fields = [
            "id", "strategy", "account", "symbol", "side", "order_type", "quantity", "price", "stop_price",
            "reduce_only", "status", "filled", "average", "client_order_id", "exchange_order_id", "reason", "error",
            "created_at", "submitted_at", "closed_at",
        ]  # fmt: skip
        read_only_fields = fields


class TradeSerializer(serializers.ModelSerializer[Trade]):
    strategy = serializers.CharField(source="strategy_account.strategy.group_name", read_only=True)
    account: serializers.SlugRelatedField[Account] = serializers.SlugRelatedField(
        slug_field="name", read_only=True
    )
    client_order_id = serializers.CharField(source="order.client_order_id", read_only=True)
    vars().update(_exact_fields("quantity", "price", "fee", "realized_profit"))

    class Meta:
        model = Trade
        fields = [
            "id", "strategy", "account", "client_order_id", "symbol", "trade_id", "side", "quantity", "price", "fee",
            "fee_currency", "is_maker", "realized_profit", "executed_at",
        ]  # fmt: skip
        read_only_fields = fields


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
