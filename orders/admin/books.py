"""Admin pages that compare our records with the exchanges: position differences, external orders, audits."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from exchanges.admin import ReadOnlyAdmin
from orders.models import BookAudit, ExternalOrder, PositionDifference
from orders.reconciliation.position_differences import declare_external


@admin.register(PositionDifference)
class PositionDifferenceAdmin(ReadOnlyAdmin):
    list_display = [
        "account", "symbol", "ours", "theirs", "external", "looks", "freezes_now", "first_seen_at", "resolved_at",
    ]  # fmt: skip
    list_filter = [("resolved_at", admin.EmptyFieldListFilter), "account"]
    list_select_related = ["account"]
    search_fields = ["symbol", "account__name"]
    actions = ["declare_external"]

    @admin.display(description=_("freezes"), boolean=True)
    def freezes_now(self, row: PositionDifference) -> bool:
        return row.freezes

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """A declaration lets the account trade again, so a user with view permission only must not declare."""
        return request.user.has_perm("orders.change_positiondifference")

    @admin.action(
        description=_("Declare the difference as held outside of the strategies"), permissions=["operate"]
    )
    def declare_external(self, request: HttpRequest, queryset: QuerySet[PositionDifference]) -> None:
        for row in queryset.unresolved():  # type: ignore[attr-defined]
            declare_external(row, now=timezone.now())
            self.message_user(request, _("Difference %(row)s: declared.") % {"row": row})


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


@admin.register(BookAudit)
class BookAuditAdmin(ReadOnlyAdmin):
    list_display = ["at", "checked_orders", "clean"]
    list_filter = ["at"]

    @admin.display(description=_("clean"), boolean=True)
    def clean(self, row: BookAudit) -> bool:
        return row.is_clean
