"""Takes alerts past what only people need: a session, a user, a form's token, messages for the next page."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import resolve

_PATHS = ("/api/webhook", "/api/webhook/")


class AlertsFirst:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.webhook = resolve(_PATHS[0]).func

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_alert = request.method == "POST" and request.path_info in _PATHS
        return self.webhook(request) if is_alert else self.get_response(request)
