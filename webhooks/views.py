import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchanges.failpoints import failpoint
from webhooks import throttle
from webhooks.answering.answer import Answer
from webhooks.answering.deferral import ARRIVED, CAN_DEFER, DEFERRED, PROVED, SETTLED
from webhooks.errors import WebhookError
from webhooks.message.schema import message_schema
from webhooks.senders import is_allowed, sender_in
from webhooks.services import receive_delivery
from webhooks.signatures import HEADERS

logger = logging.getLogger(__name__)

_SIGNATURE_KEYS = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in HEADERS}
_JSON = JSONRenderer()
_TOLD_PER_MINUTE = 60  # log lines: enough to find senders missing from the list, too few to fill the disk


class AlwaysJson(BaseContentNegotiation):
    """Answers with JSON without regard to the Accept header, because alert senders send all sorts of Accept headers."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class WebhookView(APIView):
    """Takes a delivery by POST. The token is in the body or in `Authorization: Bearer`, never in the URL."""

    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = AlwaysJson

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """A POST goes past REST framework: nothing of its request is used, and a refusal must be cheap."""
        if request.method != "POST":
            return super().dispatch(request, *args, **kwargs)
        try:
            return self.post(request)
        except WebhookError as error:
            return _json_answer(error.body, status=error.http_status, headers=error.headers)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Raises WebhookError."""
        settled: Answer | None = request.META.get(SETTLED)
        if settled is not None:
            return _json_answer(settled.build())
        failpoint("before the body is read")
        _require_https(request)
        started: float = request.META.get(ARRIVED) or time.monotonic()
        now = timezone.now() - timedelta(seconds=time.monotonic() - started)
        sender = _allowed_sender(request)
        answer = receive_delivery(
            _read_body(request),
            bearer=_bearer_token(request),
            address=sender,
            signature={name: request.META.get(key, "") for name, key in _SIGNATURE_KEYS.items()},
            now=now,
            started=started,
        )
        token = answer.accepted.admission.token
        request.META[PROVED] = token.digest, token.user_id
        if request.META.get(CAN_DEFER):
            request.META[DEFERRED] = answer
            return HttpResponse()  # the server drops this response and asks again
        answer.wait()
        return _json_answer(answer.build())


class SchemaView(APIView):
    """The JSON Schema of the message, for senders and their tools. Anyone may read it."""

    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = AlwaysJson

    def get(self, request: Request) -> Response:
        return Response(message_schema(), content_type="application/schema+json")


def _json_answer(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(_JSON.render(body), "application/json", status, headers=headers)


def _require_https(request: HttpRequest) -> None:
    """Raises WebhookError (https_required) without TLS, so that the sender stops sending the token in the clear."""
    if settings.SECURE_SSL_REDIRECT and not request.is_secure():
        raise WebhookError("https_required")


def refuses_unread(environ: Mapping[str, Any]) -> bool:
    """Whether the view refuses a request by its head: an alert from an address that may not send alerts."""
    is_alert = environ["PATH_INFO"].rstrip("/") == "/api/webhook"
    return is_alert and not is_allowed(
        sender_in(environ, settings.TRUSTED_PROXIES), settings.WEBHOOK_ALLOWED_SENDERS
    )


def _allowed_sender(request: HttpRequest) -> str:
    """Returns the sender's address. Raises WebhookError (sender_not_allowed)."""
    sender = sender_in(request.META, settings.TRUSTED_PROXIES)
    if not is_allowed(sender, settings.WEBHOOK_ALLOWED_SENDERS):
        if throttle.is_within("told", "all", _TOLD_PER_MINUTE):
            logger.info("sender not allowed address=%s", sender)
        raise WebhookError("sender_not_allowed")
    return sender


def _read_body(request: HttpRequest) -> bytes:
    """Returns the request's body. Raises WebhookError (payload_too_large, invalid_json)."""
    try:
        is_too_large = int(request.META.get("CONTENT_LENGTH") or 0) > settings.WEBHOOK_MAX_BYTES
        body = b"" if is_too_large else request.body
    except RequestDataTooBig as error:
        raise WebhookError("payload_too_large") from error
    except (UnreadablePostError, ValueError) as error:  # ValueError: CONTENT_LENGTH is no number
        raise WebhookError("invalid_json") from error
    if is_too_large:
        raise WebhookError("payload_too_large")
    return body


def _bearer_token(request: HttpRequest) -> str | None:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
