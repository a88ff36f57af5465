"""Pages of a person's own sign-in: confirmation, second factor, sessions."""

from base64 import b32encode
from secrets import token_bytes
from typing import Any

import segno
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from django_otp import login as note_device
from django_otp.middleware import is_verified

from audit import trail
from audit.actions import Action
from staff.acting import actor_of
from staff.models import SignIn, step_of_code
from staff.roles import MANAGE_PEOPLE
from staff.sealing import SealBroken, seal, unseal
from staff.sign_in.confirmation import note_confirmation, require_confirmation
from staff.sign_in.forms import ConfirmForm, SetUpForm
from staff.sign_in.second_factor import KEY_BYTES, device_of, enroll, provisioning_uri
from staff.sign_in.sessions import end_sessions, open_sessions, session_of

OWN = "own sign-in"  # the right to change what belongs to oneself
_SET_UP, _SET_UP_S = "set-up of a second factor", 15 * 60
_LISTED = 200


def confirm_view(request: HttpRequest, *, may_try: bool) -> HttpResponse:
    """Asks for the password and, where there is one, the second factor. Leads on to `next`."""
    user = _person(request)
    target = _safe_target(request)
    form = ConfirmForm(request.POST if request.method == "POST" and may_try else None, user=user)
    if request.method == "POST" and not may_try:
        messages.error(request, _("Too many attempts. Wait a minute, then try again."))
    if form.is_bound:
        is_right, now = form.is_valid(), timezone.now()
        action = Action.REAUTHENTICATED if is_right else Action.REAUTHENTICATION_FAILED
        with transaction.atomic():
            trail.record(action, user, actor=actor_of(request, OWN), now=now)
        if is_right:
            request.session.cycle_key()
            note_confirmation(request, now=now)
            messages.success(request, _("Confirmed for ten minutes. Please do the last step again."))
            return HttpResponseRedirect(target)
    return _page(request, "confirm", _("Confirm that it is you"), form=form, target=target)


def _safe_target(request: HttpRequest) -> str:
    """Where the person came from, on this site only."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if is_ours and target.startswith("/") else reverse("admin:index")


@sensitive_variables()
def second_factor_view(request: HttpRequest) -> HttpResponse:
    """Sets up an authenticator app, or replaces it. A new key is only kept after a code of it was right."""
    user = _person(request)
    device = device_of(user)
    if device is not None and not is_verified(request.user):
        return redirect(reverse("admin:login"))  # the session began before the device was there
    require_confirmation(request)
    key = _key_of(request, user) or token_bytes(KEY_BYTES)
    form = SetUpForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        now = timezone.now()
        step = step_of_code(key, form.cleaned_data["code"].replace(" ", ""), now=now)
        if step is not None:
            device, codes = enroll(user, key, step, actor=actor_of(request, OWN), now=now)
            end_sessions(open_sessions(user, without=request), actor=actor_of(request, OWN), now=now)
            request.session.cycle_key()
            note_device(request, device)
            return _page(request, "recovery_codes", _("Recovery codes"), codes=codes)
        form.add_error(
            "code", _("That is not the code that the app shows now. Compare the clocks, and try again.")
        )
    base32 = b32encode(key).decode()
    image = segno.make(provisioning_uri(user, base32), error="m").svg_data_uri(
        scale=5, border=3, light="#fff"
    )
    return _page(
        request,
        "second_factor",
        _("Second factor"),
        form=form,
        image=image,
        secret=" ".join(base32[start : start + 4] for start in range(0, len(base32), 4)),
        sealed=seal(key, purpose=_SET_UP, person=user.pk),
        device=device,
        is_required=settings.STAFF_SECOND_FACTOR and device is None,
    )


def _key_of(request: HttpRequest, user: User) -> bytes | None:
    """The key that the page before showed to this person; None for the first page, and after a quarter of an hour."""
    try:
        sealed = request.POST.get("sealed", "")
        return unseal(sealed, purpose=_SET_UP, person=user.pk, within_s=_SET_UP_S) if sealed else None
    except SealBroken:
        return None


def sessions_view(request: HttpRequest) -> HttpResponse:
    """The open sessions of the person; of everybody for those who manage people."""
    rows = SignIn.objects.going_on(now=timezone.now()).select_related("user")
    sees_all = request.user.has_perm(MANAGE_PEOPLE)
    listed = rows if sees_all else rows.filter(user=_person(request))
    return _page(
        request,
        "sessions",
        _("Sessions"),
        listed=listed[:_LISTED],
        own=session_of(request),
        sees_all=sees_all,
    )


def session_end_view(request: HttpRequest, pk: int) -> HttpResponse:
    if request.method != "POST":
        return redirect("admin:sessions")
    row = SignIn.objects.open().select_related("user").filter(pk=pk).first()
    if row is None:
        raise Http404
    is_own = row.user_id == request.user.pk
    if not is_own and not request.user.has_perm(MANAGE_PEOPLE):
        raise PermissionDenied
    end_sessions([row], actor=actor_of(request, OWN if is_own else MANAGE_PEOPLE), now=timezone.now())
    messages.success(request, _("The session was ended."))
    return redirect("admin:sessions")


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _page(request: HttpRequest, name: str, title: Any, **context: Any) -> HttpResponse:
    everywhere = {**admin.site.each_context(request), "title": title}
    if not everywhere["has_permission"]:  # before the set-up of a second factor no link would lead on
        everywhere["is_nav_sidebar_enabled"] = False
    response = TemplateResponse(request, f"admin/staff/{name}.html", {**everywhere, **context})
    add_never_cache_headers(response)
    return response
