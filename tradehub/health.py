from django.db import DatabaseError, connection
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orders.models import BookAudit


class HealthView(APIView):
    """200 while deliveries can be stored, 503 otherwise."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> Response:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError:
            return Response({"status": "unavailable", "database": "unreachable"}, status=503)
        return Response({"status": "ok", "database": "ok", "books": _books()})


def _books() -> str:
    """What the last audit of the books said."""
    last = BookAudit.objects.order_by("-at").first()
    if last is None:
        return "not audited yet"
    return "ok" if last.is_clean else f"{len(last.problems)} problems"
