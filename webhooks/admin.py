from django.contrib import admin

from exchanges.admin import ReadOnlyAdmin
from webhooks.models import WebhookLog


@admin.register(WebhookLog)
class WebhookLogAdmin(ReadOnlyAdmin):
    list_display = [
        "id", "received_at", "status", "strategy", "token", "error_code", "total_processing_time_ms", "answered_at",
    ]  # fmt: skip
    list_filter = ["status", "error_code", "strategy", "received_at"]
    list_select_related = ["strategy", "token"]
    search_fields = ["strategy__group_name", "token__prefix", "error_code"]
    date_hierarchy = "received_at"
