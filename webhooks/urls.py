from django.urls import re_path

from webhooks.views import SchemaView, WebhookView

urlpatterns = [
    re_path(r"^api/webhook/?$", WebhookView.as_view(), name="webhook"),
    re_path(r"^api/webhook/schema\.json$", SchemaView.as_view(), name="webhook-schema"),
]
