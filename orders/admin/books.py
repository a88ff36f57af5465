"""Admin pages that compare our records with the exchanges: differences, outside events, external orders, audits."""

from decimal import Decimal

from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders.admin.distribution import DistributingAdmin
from orders.models import Adjustment, BookAudit, ExternalOrder, MissedAlert, OutsideEvent, PositionDifference
from orders.outside.distribution import Distribution, distribution_of_difference, distribution_of_event
from orders.reconciliation.position_differences import declare_events_external, declare_external
from staff.acting import actor_of
from staff.pages import ReadOnlyAdmin


@admin.register(PositionDifference)
class PositionDifferenceAdmin(DistributingAdmin):
    """A difference without evidence is distributed as a correction, or declared external."""

    has_price = True
    list_display = [
        "account", "symbol", "ours", "theirs", "external", "looks", "freezes_now", "first_seen_at", "resolved_at",
        "distribution_link",
    ]  # fmt: skip
    list_filter = [("resolved_at", admin.EmptyFieldListFilter), "account"]
    list_select_related = ["account"]
    search_fields = ["symbol", "account__name"]
    actions = ["declare_external"]

    def distribution_of(self, row: PositionDifference, price: Decimal | None) -> Distribution:
        return distribution_of_difference(row, price=price)

    def is_open(self, row: PositionDifference) -> bool:
        return row.resolved_at is None

    @admin.display(description=_("freezes"), boolean=True)
    def freezes_now(self, row: PositionDifference) -> bool:
        return row.freezes

    @admin.action(
        description=_("Declare the difference as held outside of the strategies"), permissions=["operate"]
    )
    def declare_external(self, request: HttpRequest, queryset: QuerySet[PositionDifference]) -> None:
        for row in queryset.unresolved():  # type: ignore[attr-defined]
            declare_external(row, actor=actor_of(request, self.operate_right), now=timezone.now())
            self.message_user(request, _("Difference %(row)s: declared.") % {"row": row})


@admin.register(OutsideEvent)
class OutsideEventAdmin(DistributingAdmin):
    """Lists the events that wait for a person first."""

    list_display = [
        "executed_at", "kind", "account", "symbol", "quantity", "price", "amount", "settled_at", "settled_by",
        "distribution_link",
    ]  # fmt: skip
    list_filter = [("settled_at", admin.EmptyFieldListFilter), "kind", "account", "executed_at"]
    list_select_related = ["account"]
    search_fields = ["symbol", "account__name", "evidence_id", "exchange_order_id", "client_order_id"]
    ordering = [F("settled_at").desc(nulls_first=True), "-executed_at", "-pk"]
    actions = ["declare_events_external"]

    def distribution_of(self, row: OutsideEvent, price: Decimal | None) -> Distribution:
        return distribution_of_event(row)

    def is_open(self, row: OutsideEvent) -> bool:
        return row.settled_at is None

    @admin.action(
        description=_("Declare the selected events as outside of the strategies"), permissions=["operate"]
    )
    def declare_events_external(self, request: HttpRequest, queryset: QuerySet[OutsideEvent]) -> None:
        declared = declare_events_external(
            list(queryset), actor=actor_of(request, self.operate_right), now=timezone.now()
        )
        for event in declared:
            self.message_user(request, _("%(event)s: declared.") % {"event": event}, messages.SUCCESS)
        if not declared:
            self.message_user(request, _("None of the selected events was waiting."), messages.WARNING)


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
    list_display = [
        "executed_at", "kind", "strategy_account", "symbol", "quantity", "price", "amount", "realized_profit", "fee",
        "actor", "reason",
    ]  # fmt: skip
    list_filter = ["kind", "strategy_account__strategy", "account", "executed_at"]
    list_select_related = ["strategy_account__strategy", "strategy_account__account"]
    search_fields = ["symbol", "account__name", "event__evidence_id", "actor", "reason"]


@admin.register(ExternalOrder)
class ExternalOrderAdmin(ReadOnlyAdmin):
    list_display = [
        "account",
        "symbol",
        "exchange_order_id",
        "client_order_id",
        "status",
        "quantity",
        "last_seen_at",
    ]
    list_filter = ["account", "last_seen_at"]
    list_select_related = ["account"]
    search_fields = ["symbol", "exchange_order_id", "client_order_id"]


@admin.register(MissedAlert)
class MissedAlertAdmin(ReadOnlyAdmin):
    """An alert that never came, or that came late, or that one account could not follow.

    The position before, as the alert after tells it, shows each of them.
    """

    list_display = [
        "noticed_at",
        "strategy",
        "strategy_account",
        "symbol",
        "known",
        "said",
        "on_gap",
        "arrived_at",
    ]
    list_filter = [
        ("arrived_at", admin.EmptyFieldListFilter),
        ("strategy_account", admin.EmptyFieldListFilter),
        "strategy",
        "noticed_at",
    ]
    list_select_related = ["strategy", "strategy_account__strategy", "strategy_account__account"]
    search_fields = ["symbol", "strategy__group_name"]


@admin.register(BookAudit)
class BookAuditAdmin(ReadOnlyAdmin):
    list_display = ["at", "is_whole", "checked_orders", "clean"]
    list_filter = ["is_whole", "at"]

    @admin.display(description=_("clean"), boolean=True)
    def clean(self, row: BookAudit) -> bool:
        return row.is_clean
