"""What subscribers see: their own orders, trades and positions, to read. Others' do not exist for them (404)."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.viewsets import ReadOnlyModelViewSet

from orders.models import Order, Position, Trade
from orders.serializers import OrderSerializer, PositionSerializer, TradeSerializer


class OwnRowsViewSet(ReadOnlyModelViewSet[Any]):
    """Rows of the signed-in user's own accounts, narrowed by the query parameters in `filters`."""

    rows: QuerySet[Any]
    filters: dict[str, str]

    def get_queryset(self) -> QuerySet[Any]:
        given = {
            path: self.request.query_params[name]
            for name, path in self.filters.items()
            if name in self.request.query_params
        }
        return self.rows.visible_to(self.request.user.pk).filter(**given)  # type: ignore[attr-defined]


class OrderViewSet(OwnRowsViewSet):
    rows = Order.objects.select_related("strategy", "account")
    serializer_class = OrderSerializer
    filters = {
        "strategy": "strategy__group_name",
        "symbol": "symbol",
        "status": "status",
        "account": "account__name",
    }


class TradeViewSet(OwnRowsViewSet):
    rows = Trade.objects.select_related("strategy_account__strategy", "account", "order")
    serializer_class = TradeSerializer
    filters = {
        "strategy": "strategy_account__strategy__group_name",
        "symbol": "symbol",
        "account": "account__name",
        "client_order_id": "order__client_order_id",
    }


class PositionViewSet(OwnRowsViewSet):
    rows = Position.objects.select_related(
        "strategy_account__strategy", "strategy_account__account"
    ).order_by("pk")
    serializer_class = PositionSerializer
    filters = {
        "strategy": "strategy_account__strategy__group_name",
        "symbol": "symbol",
        "account": "strategy_account__account__name",
    }
