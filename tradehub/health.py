from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.db import Error, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orders.models import BookAudit

STALE_AFTER = timedelta(minutes=10)  # the worker audits every minute
KEPT_S = 1  # anyone may ask, as often as they like: writing once a second is enough


class HealthView(APIView):
    """200 while deliveries can be stored, 503 otherwise. What is wrong in the books is told in the admin only."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> Response:
        state: Any = cache.get_or_set("health", _health_state, KEPT_S)
        return Response(state, status=200 if state["status"] == "ok" else 503)


def _health_state() -> dict[str, str]:
    try:
        _write_test_row()
        return {"status": "ok", "database": "ok", "books": _books_state()}
    except Error:
        return {"status": "unavailable", "database": "unavailable"}


def _write_test_row() -> None:
    """A row that is taken back: a database that can only be read takes no delivery. Raises Error."""
    with transaction.atomic():
        BookAudit.objects.create(at=timezone.now(), checked_orders=0)
        transaction.set_rollback(True)


def _books_state() -> str:
    """What the last audit of the books said."""
    last = BookAudit.objects.order_by("-at").first()
    if last is None:
        return "not audited"
    if timezone.now() - last.at > STALE_AFTER:
        return "stale"
    return "ok" if last.is_clean else "problems"
