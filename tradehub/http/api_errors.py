"""The shape of every API error: {"success": false, "error", "code", "webhook_id"}."""

import json
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_exception_handler

from webhooks.errors import WebhookError, error_body

_COME_AGAIN_S = 5
_CROWD = _("too many messages of this sender are waiting")


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    response = rest_exception_handler(error, context)
    if response is None:
        return None
    code = error.get_codes() if isinstance(error, APIException) else "not_found"
    text = response.data.get("detail", response.data) if isinstance(response.data, dict) else response.data
    response.data = error_body(text, code)
    return response


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
