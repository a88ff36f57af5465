from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from orders.admin.lists import GrowingAdmin, KnownCodeFilter
from webhooks.errors import TEXTS
from webhooks.models import WebhookLog


class ErrorCodeFilter(KnownCodeFilter):
    title = _("error code")
    parameter_name = "error_code"
    codes = TEXTS


@admin.register(WebhookLog)
class WebhookLogAdmin(GrowingAdmin):
    list_display = [
        "public_id", "received_at", "status", "strategy", "token", "error_code", "total_processing_time_ms",
        "answered_at",
    ]  # fmt: skip
    list_filter = ["status", ErrorCodeFilter, "strategy", "received_at"]
    list_select_related = ["strategy", "token"]
    search_fields = ["public_id__exact", "strategy__group_name__icontains", "token__prefix__icontains"]
    readonly_fields = ["public_id"]
