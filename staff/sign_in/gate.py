"""Refuses odd methods at the admin, and lets a session through while it is open and its second factor was given."""

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from staff.sign_in.second_factor import is_proven
from staff.sign_in.sessions import note_visit

METHODS = ("GET", "HEAD", "POST")


class StaffGate:
    """Requests without a session's cookie pass untouched: the programs of the API have none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_admin = request.path_info.startswith(reverse("admin:index"))
        if is_admin and request.method not in METHODS:
            return HttpResponseNotAllowed(METHODS)  # Django's admin takes each of them for GET
        if settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in request.session:
            self._examine(request, is_admin=is_admin)
        return self.get_response(request)

    def _examine(self, request: HttpRequest, *, is_admin: bool) -> None:
        """The admin itself leads a person without a second factor to its set-up."""
        if not note_visit(request, now=timezone.now()):
            request.session.flush()
            request.user = AnonymousUser()
        elif not is_admin and not _may_pass(request):
            request.user = AnonymousUser()


def _may_pass(request: HttpRequest) -> bool:
    return request.user.is_authenticated and is_proven(request.user)
