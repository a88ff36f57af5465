"""Writes sign-ins, sign-outs and failures into the audit trail."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from staff.acting import actor_of_user
from webhooks import throttle
from webhooks.senders import neighborhood_of, sender_in

SIGN_IN = "sign-in"  # the right of whoever signs in, or tries to
NOBODY = "nobody"  # the actor of a failure
# Strangers must not fill the table. Of the failures from one neighborhood in a minute these are written, each with its
# count; and of the failures from everywhere at most ENTRIES_PER_MINUTE.
TOLD_AT = (1, 10, 100, 1000)
ENTRIES_PER_MINUTE = 60


def listen() -> None:
    user_logged_in.connect(_on_signed_in, dispatch_uid="audit sign-in")
    user_logged_out.connect(_on_signed_out, dispatch_uid="audit sign-out")
    user_login_failed.connect(_on_failure, dispatch_uid="audit failure")


def _on_signed_in(sender: Any, request: HttpRequest | None, user: User, **signal: Any) -> None:
    _record(Action.SIGNED_IN, user, request)


def _on_signed_out(sender: Any, request: HttpRequest | None, user: User | None, **signal: Any) -> None:
    """A sign-out without a session has no user."""
    if user is not None:
        _record(Action.SIGNED_OUT, user, request)


def _record(action: Action, user: User, request: HttpRequest | None) -> None:
    with transaction.atomic():
        actor = actor_of_user(user, SIGN_IN, address=_address_of(request))
        record(action, user, actor=actor, now=timezone.now())


def _on_failure(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **signal: Any
) -> None:
    """Names the tried user where the user exists: a stranger's text may be a password in the wrong field."""
    address = _address_of(request)
    count = throttle.count_attempt("failed-sign-in", neighborhood_of(address))
    if count not in TOLD_AT or not throttle.is_within("failed-sign-ins", "all", ENTRIES_PER_MINUTE):
        return
    user = User.objects.filter(username=str(credentials.get("username", ""))[:150]).first()
    actor = Actor(NOBODY, SIGN_IN, address=address)
    with transaction.atomic():
        after = {"failures_this_minute": count}
        record(Action.SIGN_IN_FAILED, user, actor=actor, now=timezone.now(), after=after)


def _address_of(request: HttpRequest | None) -> str:
    return "" if request is None else sender_in(request.META, settings.TRUSTED_PROXIES)
