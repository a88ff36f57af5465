"""Refuses addresses with values that a database cannot look up."""

from collections.abc import Callable
from urllib.parse import unquote

from django.db import DataError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.utils.translation import gettext as _

from webhooks.errors import error_body


class RefuseImpossibleAddresses:
    """Answers 400 for NUL, which PostgreSQL refuses in text, and for numbers and dates in a query beyond any column."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path or "\x00" in unquote(request.META.get("QUERY_STRING", "")):
            return refuse_address(request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Refuses the address of a failed GET only. A failed change is a fault of the program, not of the address."""
        is_queried = request.method == "GET" and bool(request.GET)
        return (
            refuse_address(request)
            if is_queried and isinstance(exception, OverflowError | DataError)
            else None
        )


def refuse_address(request: HttpRequest) -> HttpResponse:
    text = _("The address holds a value that cannot be used.")
    if request.path.startswith("/api/"):
        body = error_body(text, "invalid_query")
        return JsonResponse(body, status=400, json_dumps_params={"ensure_ascii": False})
    return HttpResponseBadRequest(text, content_type="text/plain; charset=utf-8")
