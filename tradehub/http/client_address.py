"""Notes the address of the sender, behind our own proxies, for pages and for the audit trail."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from webhooks.senders import sender_in


class ClientAddress:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.client_address = sender_in(request.META, settings.TRUSTED_PROXIES)  # type: ignore[attr-defined]
        return self.get_response(request)
