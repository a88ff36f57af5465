"""The admin site: who may open its pages at all, for how long a statement may run."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import SimpleTemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache

from audit import trail
from audit.actions import Action
from staff import views
from staff.acting import actor_of
from staff.page_limits import STATEMENT_S, PageTooSlow, statements_within
from staff.sign_in.confirmation import ConfirmationNeeded, require_confirmation
from staff.sign_in.forms import SignInForm
from staff.sign_in.second_factor import device_of, is_proven
from staff.sign_in.sessions import end_sessions, open_sessions

View = Callable[..., Any]


class StaffSite(AdminSite):
    """`may_try` counts an attempt of a scope and a name, and says whether the attempt is allowed."""

    login_form = SignInForm
    login_template = "admin/staff/login.html"
    index_template = "admin/staff/index.html"
    site_url = None  # the address above the admin only leads back here

    def may_try(self, request: HttpRequest, scope: str, name: str) -> bool:
        raise ImproperlyConfigured("tradehub.admin gives the site its count of attempts.")

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and is_proven(request.user)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [
            path("logout/", self._own_view(self.logout), name="logout"),
            path("confirm/", self._own_view(self.confirm), name="confirm"),
            path("second-factor/", self._own_view(views.second_factor_view), name="second_factor"),
            path("sessions/", self.admin_view(views.sessions_view), name="sessions"),
            path("sessions/<int:pk>/end/", self.admin_view(views.session_end_view), name="session_end"),
            *super().get_urls(),
        ]

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        return super().admin_view(_bounded(view), cacheable)

    def _own_view(self, view: View) -> View:
        """For staff who have yet to set up a second factor, too."""

        @wraps(view)
        def of_staff(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not super(StaffSite, self).has_permission(request):
                is_leaving = request.path == reverse("admin:logout")
                target = reverse("admin:index") if is_leaving else request.get_full_path()
                return redirect_to_login(target, reverse("admin:login"))
            response: HttpResponse = view(request, *args, **kwargs)
            return response

        return never_cache(_bounded(of_staff))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method != "POST" and super().has_permission(request) and self._lacks_factor(request.user):
            return redirect("admin:second_factor")
        if request.method == "HEAD" and self.has_permission(request):
            return redirect("admin:index")  # as Django does for GET
        return super().login(request, extra_context)

    @staticmethod
    def _lacks_factor(user: Any) -> bool:
        return not is_proven(user) and device_of(user) is None

    def confirm(self, request: HttpRequest) -> HttpResponse:
        is_try = request.method == "POST"
        may_try = not is_try or self.may_try(request, "confirm", request.user.get_username())
        return views.confirm_view(request, may_try=may_try)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        require_confirmation(request)
        if request.method == "POST" and not self.may_try(request, "confirm", request.user.get_username()):
            messages.error(request, gettext("Too many attempts. Wait a minute, then try again."))
            return redirect("admin:password_change")
        with transaction.atomic():
            response = super().password_change(request, extra_context)
            if isinstance(response, HttpResponseRedirect):
                actor, now = actor_of(request, views.OWN), timezone.now()
                end_sessions(open_sessions(request.user, without=request), actor=actor, now=now)  # type: ignore[arg-type]
                trail.record(Action.PASSWORD_CHANGED, request.user, actor=actor, now=now)  # type: ignore[arg-type]
        return response


def _bounded(view: View) -> View:
    @wraps(view)
    def bounded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            with statements_within(STATEMENT_S):
                response = view(request, *args, **kwargs)
                if isinstance(response, SimpleTemplateResponse):
                    response.render()  # which reads the rows of a list
                return response
        except ConfirmationNeeded:
            messages.warning(request, gettext("Confirm that it is you. Nothing was changed so far."))
            return HttpResponseRedirect(
                f"{reverse('admin:confirm')}?{urlencode({'next': request.get_full_path()})}"
            )
        except PageTooSlow:
            text = gettext("The page took too long to read. Search for less, or choose a filter.")
            return HttpResponse(text, status=503, content_type="text/plain; charset=utf-8")

    return bounded
