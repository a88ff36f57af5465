"""The read-only REST API: a user sees the orders, trades and positions of the user's own accounts.

Rows of other users' accounts get 404, as if the rows did not exist. No id counts: an order is named by its client order
id, a trade by its order and the exchange's trade id.
"""

from collections.abc import Mapping
from typing import Protocol, TypeVar

from django.db.models import Model, QuerySet
from django.http import Http404
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.viewsets import GenericViewSet

from orders import filters
from orders.filters import Filter, condition_of
from orders.models import Order, Position, Trade
from orders.pages import CURSOR, LIMIT, ByAccount, SealedCursors
from orders.serializers import ID_SEPARATOR, OrderSerializer, PositionSerializer, TradeSerializer

Row = TypeVar("Row", bound=Model, covariant=True)


class OwnedRows(Protocol[Row]):
    """A queryset whose rows belong to the owners of accounts."""

    def visible_to(self, user_id: int) -> QuerySet[Row]: ...


class OwnRowsViewSet(ListModelMixin, GenericViewSet[Row]):
    """Rows of the signed-in user's own accounts, narrowed by the query parameters in `filters`. Raises BadFilter."""

    pagination_class = SealedCursors
    rows: OwnedRows[Row]
    filters: Mapping[str, Filter]

    def get_queryset(self) -> QuerySet[Row]:
        user_id = self.request.user.pk
        assert user_id is not None  # the default permission admits signed-in users only
        is_list = self.action == "list"
        given = self.request.query_params
        found = condition_of(
            given, self.filters if is_list else {}, others=(CURSOR, LIMIT) if is_list else ()
        )
        return self.rows.visible_to(user_id).filter(found)


class OrderViewSet(RetrieveModelMixin, OwnRowsViewSet[Order]):
    rows = Order.objects.select_related("strategy", "account")
    serializer_class = OrderSerializer
    lookup_field = "client_order_id"
    filters = {
        "strategy": filters.exactly("strategy__group_name"),
        "symbol": filters.symbol(),
        "status": filters.status(),
        "side": filters.side(),
        "order_type": filters.order_type(),
        "account": filters.exactly("account__name"),
    }


class TradeViewSet(RetrieveModelMixin, OwnRowsViewSet[Trade]):
    rows = Trade.objects.select_related("strategy_account__strategy", "account", "order")
    serializer_class = TradeSerializer
    lookup_field = "id"
    filters = {
        "strategy": filters.exactly("strategy_account__strategy__group_name"),
        "symbol": filters.symbol(),
        "side": filters.side(),
        "account": filters.exactly("account__name"),
        "client_order_id": filters.exactly("order__client_order_id"),
    }

    def get_object(self) -> Trade:
        client_order_id, _separator, trade_id = self.kwargs["id"].partition(ID_SEPARATOR)
        found = self.get_queryset().filter(order__client_order_id=client_order_id, trade_id=trade_id).first()
        if found is None:
            raise Http404
        return found


class PositionViewSet(OwnRowsViewSet[Position]):
    """Strategy, account and symbol name a position: a single position is a list with these filters."""

    pagination_class = ByAccount
    rows = Position.objects.select_related("strategy_account__strategy", "strategy_account__account")
    serializer_class = PositionSerializer
    filters = {
        "strategy": filters.exactly("strategy_account__strategy__group_name"),
        "symbol": filters.symbol(),
        "account": filters.exactly("strategy_account__account__name"),
    }
