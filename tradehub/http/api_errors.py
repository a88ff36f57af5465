"""The shape of every API error: {"success": false, "error", "code", "webhook_id"}."""

import json
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.views import exception_handler as rest_exception_handler

from webhooks import throttle
from webhooks.errors import WebhookError, error_body
from webhooks.senders import neighborhood_of, sender_in

_COME_AGAIN_S = 5
_CROWD = _("too many messages of this sender are waiting")


class UnknownAddressView(APIView):
    """Any address under /api/ that is none: 404 in the shape of every error, for every method and everybody."""

    authentication_classes = ()
    permission_classes = ()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        text = _("There is no such address.")
        return JsonResponse(
            error_body(text, "not_found"), status=404, json_dumps_params={"ensure_ascii": False}
        )


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(error, AuthenticationFailed):
        error = _counted(error, context["request"])
    if isinstance(error, WebhookError):
        return Response(error.body, status=error.http_status, headers=error.headers)
    response = rest_exception_handler(error, context)
    if response is None:
        return None
    code = error.get_codes() if isinstance(error, APIException) else "not_found"
    text = response.data.get("detail", response.data) if isinstance(response.data, dict) else response.data
    response.data = error_body(text, code)
    return response


def _counted(error: AuthenticationFailed, request: Request) -> Exception:
    """A wrong token counts against the sender's address, together with the wrong tokens of the webhook.

    Above the limit the refusal is 429. A right token passes even then, as at the webhook.
    """
    place = neighborhood_of(sender_in(request.META, settings.TRUSTED_PROXIES))
    is_within = throttle.is_within("failed-auth", place, settings.WEBHOOK_FAILED_AUTH_PER_MINUTE)
    return error if is_within else throttle.throttled_error()


def crowded_answer(environ: dict[str, Any]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """The answer to a request that got no thread, and reached no view: 503, so that the sender sends again."""
    error = WebhookError("unavailable")
    error.detail = _CROWD
    with translation.override(translation.get_language_from_request(WSGIRequest(environ))):
        body = error.body
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"retry-after", str(_COME_AGAIN_S).encode()),
    ]
    return error.http_status, headers, json.dumps(body, ensure_ascii=False).encode()
