"""The shape of every API error: {"success": false, "error", "code", "webhook_id"}."""

from typing import Any

from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_exception_handler

from webhooks.errors import WebhookError


def error_body(text: Any, code: Any, webhook_id: int | None = None) -> dict[str, Any]:
    return {"success": False, "error": text, "code": code, "webhook_id": webhook_id}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(error, WebhookError):
        return _webhook_error(error)
    response = rest_exception_handler(error, context)
    if response is None:
        return None
    code = error.get_codes() if isinstance(error, APIException) else "not_found"
    text = response.data.get("detail", response.data) if isinstance(response.data, dict) else response.data
    response.data = error_body(text, code)
    return response


def _webhook_error(error: WebhookError) -> Response:
    body = error_body(error.text, error.code, error.webhook_id)
    headers = {"Retry-After": error.params["retry_after_s"]} if error.code == "throttled" else None
    return Response(body, status=error.http_status, headers=headers)
