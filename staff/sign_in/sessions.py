"""The sessions of people: begun at sign-in, seen, idle, ended by a person."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from audit import trail
from audit.actions import Action
from audit.actor import Actor
from staff.models import SignIn, SignInQuerySet
from staff.sign_in.confirmation import note_confirmation

_SIGN_IN = "sign_in"  # the name in the session, which is kept in the database and out of the browser's reach
SEEN_EVERY = timedelta(minutes=1)
KEPT = timedelta(days=90)


def begin_session(request: HttpRequest, user: User, *, now: datetime) -> None:
    """A sign-in counts as a confirmation, too: the password and the second factor were right just now."""
    SignIn.objects.filter(user=user, seen_at__lt=now - KEPT).delete()
    SignIn.objects.open().filter(pk=_row_of(request)).update(ended_at=now)  # the same browser signs in again
    row = SignIn.objects.create(
        user=user,
        address=getattr(request, "client_address", "")[:45],
        browser=_printable(request.headers.get("User-Agent", ""))[:200],
        began_at=now,
        seen_at=now,
    )
    request.session[_SIGN_IN] = row.pk
    note_confirmation(request, now=now)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def _row_of(request: HttpRequest) -> int:
    row: int = request.session.get(_SIGN_IN, 0)
    return row


def session_of(request: HttpRequest) -> SignIn | None:
    """The open session of the request; None where it ended."""
    return SignIn.objects.open().filter(pk=_row_of(request)).first()


def note_visit(request: HttpRequest, *, now: datetime) -> bool:
    """Returns whether the session goes on. Writes at most once a minute, and ends what was idle or lasted too long.

    Django counts the age of a session from its last change, so the row tells when the session began.
    """
    row = SignIn.objects.going_on(now=now).filter(pk=_row_of(request)).first()
    if row is None:
        over = SignIn.objects.open().filter(pk=_row_of(request))
        end_sessions(over, actor=Actor.of_service("session limits"), now=now)
        return False
    if now - row.seen_at >= SEEN_EVERY:
        SignIn.objects.open().filter(pk=row.pk).update(seen_at=now)
    return True


@transaction.atomic
def end_sessions(rows: Iterable[SignIn], *, actor: Actor, now: datetime, reason: str = "") -> int:
    """Ends the sessions that are still open. Returns their number."""
    ended = [row for row in rows if SignIn.objects.open().filter(pk=row.pk).update(ended_at=now)]
    for row in ended:
        trail.record(Action.SESSION_ENDED, row, actor=actor, now=now, reason=reason)
    return len(ended)


def open_sessions(user: User, *, without: HttpRequest | None = None) -> SignInQuerySet:
    """The person's sessions, without the session of a request."""
    own = _row_of(without) if without is not None else 0
    return SignIn.objects.open().filter(user=user).exclude(pk=own)


def on_signed_in(sender: Any, request: HttpRequest, user: User, **signal: Any) -> None:
    begin_session(request, user, now=timezone.now())


def on_signed_out(sender: Any, request: HttpRequest, user: User | None, **signal: Any) -> None:
    """The sign-out leaves an audit entry of its own."""
    SignIn.objects.open().filter(pk=_row_of(request)).update(ended_at=timezone.now())
