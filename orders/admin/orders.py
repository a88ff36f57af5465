from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders.admin.lists import GrowingAdmin, KnownCodeFilter, TradedSymbolFilter
from orders.domain.reasons import TEXTS
from orders.execution.cancel_by_person import cancel_orders
from orders.models import (
    Batch,
    Cancellation,
    FailedOrder,
    OpenOrder,
    Order,
    OrderEvent,
    PendingOrder,
    Trade,
)
from orders.reconciliation.by_person import declare_absent
from staff.acting import actor_of
from staff.pages import TabularInline
from staff.roles import OPERATE_ORDERS


class OrderEventInline(TabularInline[OrderEvent, Order]):
    model = OrderEvent
    readonly_fields = fields = (
        "at",
        "from_status",
        "to_status",
        "evidence",
        "actor",
        "reason",
        "exchange_code",
        "http_status",
    )
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        return False


class TradeInline(TabularInline[Trade, Order]):
    model = Trade
    readonly_fields = fields = (
        "trade_id", "quantity", "price", "fee", "fee_currency", "realized_profit", "executed_at",
    )  # fmt: skip
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        return False


class ReasonFilter(KnownCodeFilter):
    title = _("reason")
    parameter_name = "reason"
    codes = TEXTS


class OrderAdmin(GrowingAdmin):
    list_display = [
        "id", "status", "strategy", "account", "symbol", "side", "order_type", "quantity", "price", "filled",
        "average", "reason", "created_at",
    ]  # fmt: skip
    list_filter = ["status", "strategy", "order_type", TradedSymbolFilter, ReasonFilter, "created_at"]
    list_select_related = ["strategy", "account"]
    search_fields = [
        "client_order_id__exact",
        "exchange_order_id__exact",
        "account__name__icontains",
        "strategy__group_name__icontains",
    ]
    inlines = [TradeInline, OrderEventInline]


admin.site.register(Order, OrderAdmin)
admin.site.register(PendingOrder, OrderAdmin)
admin.site.register(FailedOrder, OrderAdmin)


class OutcomeFilter(admin.SimpleListFilter):
    title = _("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("unknown", _("Outcome unknown"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OpenOrder]) -> QuerySet[OpenOrder]:
        return queryset.filter(unknown_since__isnull=False) if self.value() == "unknown" else queryset


@admin.register(OpenOrder)
class OpenOrderAdmin(OrderAdmin):
    """Lists orders of unknown outcome first, because such orders wait for the exchange, or for a person."""

    list_display = ["id", "status", "unknown_since", *OrderAdmin.list_display[2:]]
    list_filter = [OutcomeFilter, *OrderAdmin.list_filter]
    ordering = [F("unknown_since").asc(nulls_last=True), "-pk"]
    actions = ["cancel", "declare_absent"]

    operate_right = OPERATE_ORDERS

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """No user may edit the rows."""
        return request.user.has_perm(self.operate_right)

    @admin.action(description=_("Cancel the selected orders at the exchange"), permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        orders = cancel_orders(queryset, actor=actor_of(request, self.operate_right), clock=timezone.now)
        for order in orders:
            done = order.status == "canceled"
            self.message_user(
                request,
                _("Order %(order)s: %(status)s") % {"order": order, "status": order.get_status_display()},
                messages.SUCCESS if done else messages.WARNING,
            )

    @admin.action(description=_("The exchange never had this order"), permissions=["operate"])
    def declare_absent(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        orders = list(queryset)
        closed = declare_absent(orders, actor=actor_of(request, self.operate_right), now=timezone.now())
        for order in orders:
            if order in closed:
                self.message_user(request, _("Order %(order)s: closed.") % {"order": order}, messages.SUCCESS)
            else:
                self.message_user(request, self._not_closed_message(order), messages.WARNING)

    def _not_closed_message(self, order: Order) -> str:
        return _(
            "Order %(order)s: not closed. Only an order in the status Submitted, without an answer for more than"
            " %(seconds)s seconds, can be closed."
        ) % {"order": order, "seconds": settings.ABSENCE_HORIZON_S}


@admin.register(Trade)
class TradeAdmin(GrowingAdmin):
    list_display = [
        "executed_at", "strategy_account", "symbol", "side", "quantity", "price", "fee", "fee_currency",
        "realized_profit",
    ]  # fmt: skip
    list_filter = ["strategy_account__strategy", TradedSymbolFilter, "side", "executed_at"]
    list_select_related = ["strategy_account__strategy", "strategy_account__account"]
    search_fields = ["order__client_order_id__exact", "account__name__icontains"]


@admin.register(OrderEvent)
class OrderEventAdmin(GrowingAdmin):
    list_display = ["at", "order", "from_status", "to_status", "evidence", "actor", "reason", "exchange_code"]
    list_filter = ["to_status", "evidence", "at"]
    list_select_related = ["order"]
    search_fields = ["order__client_order_id__exact"]


@admin.register(Batch)
class BatchAdmin(GrowingAdmin):
    list_display = ["id", "strategy", "created_at", "finished_at", "claimed_by"]
    list_filter = ["finished_at", "strategy"]
    list_select_related = ["strategy"]


@admin.register(Cancellation)
class CancellationAdmin(GrowingAdmin):
    list_display = ["id", "batch", "strategy_account", "symbol", "side", "released_at"]
    list_select_related = ["batch", "strategy_account__strategy", "strategy_account__account"]
