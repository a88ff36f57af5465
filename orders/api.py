"""The read-only REST API: a user sees the orders, trades and positions of the user's own accounts.

Rows of other users' accounts get 404, as if the rows did not exist.
"""

from typing import Protocol, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.pagination import CursorPagination
from rest_framework.viewsets import ReadOnlyModelViewSet

from orders.models import Order, Position, Trade
from orders.serializers import OrderSerializer, PositionSerializer, TradeSerializer

Row = TypeVar("Row", bound=Model, covariant=True)


class OwnedRows(Protocol[Row]):
    """A queryset whose rows belong to the owners of accounts."""

    def visible_to(self, user_id: int) -> QuerySet[Row]: ...


class NewestFirst(CursorPagination):
    """Pages by primary key: a page costs the same wherever it lies, and new rows move none of the older ones."""

    ordering: str | tuple[str, ...] = "-pk"
    page_size = 100


class ByAccount(NewestFirst):
    """Pages by account and symbol: positions stand in the same order whichever of them was opened first."""

    ordering: str | tuple[str, ...] = ("strategy_account_id", "symbol")


class OwnRowsViewSet(ReadOnlyModelViewSet[Row]):
    """Rows of the signed-in user's own accounts, narrowed by the query parameters in `filters`."""

    pagination_class = NewestFirst
    rows: OwnedRows[Row]
    filters: dict[str, str]

    def get_queryset(self) -> QuerySet[Row]:
        given = {
            path: self.request.query_params[name]
            for name, path in self.filters.items()
            if name in self.request.query_params
        }
        user_id = self.request.user.pk
        assert user_id is not None  # the default permission admits signed-in users only
        return self.rows.visible_to(user_id).filter(**given)


class OrderViewSet(OwnRowsViewSet[Order]):
    rows = Order.objects.select_related("strategy", "account")
    serializer_class = OrderSerializer
    filters = {
        "strategy": "strategy__group_name",
        "symbol": "symbol",
        "status": "status",
        "account": "account__name",
    }


class TradeViewSet(OwnRowsViewSet[Trade]):
    rows = Trade.objects.select_related("strategy_account__strategy", "account", "order")
    serializer_class = TradeSerializer
    filters = {
        "strategy": "strategy_account__strategy__group_name",
        "symbol": "symbol",
        "account": "account__name",
        "client_order_id": "order__client_order_id",
    }


class PositionViewSet(OwnRowsViewSet[Position]):
    pagination_class = ByAccount
    rows = Position.objects.select_related("strategy_account__strategy", "strategy_account__account")
    serializer_class = PositionSerializer
    filters = {
        "strategy": "strategy_account__strategy__group_name",
        "symbol": "symbol",
        "account": "strategy_account__account__name",
    }
