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
KEPT_S = 1  # an answer writes to the database, and anyone may ask often: a write each second is enough


class HealthView(APIView):
    """Answers 200 while deliveries can be stored, 503 otherwise. Only the admin tells the audit's findings."""

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
    """Writes a row and rolls the row back, because a read-only database takes no delivery. Raises Error."""
    with transaction.atomic():
        BookAudit.objects.create(at=timezone.now(), checked_orders=0)
        transaction.set_rollback(True)


def _books_state() -> str:
    """Returns the result of the last audit of the books."""
    last = BookAudit.objects.order_by("-at").first()
    if last is None:
        return "not audited"
    if timezone.now() - last.at > STALE_AFTER:
        return "stale"
    return "ok" if last.is_clean else "problems"
