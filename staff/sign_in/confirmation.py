"""Acts that could cost much ask first whether the person at the desk is still the person who signed in.

Keys, tokens, roles, passwords, second factors, letting trading go on, and going public ask. Whatever stops or reduces
trading never asks: halting, exits only, cancels, closing, revoking.
"""

from datetime import datetime, timedelta

from django.http import HttpRequest
from django.utils import timezone

_CONFIRMED_AT = "confirmed_at"
VALID = timedelta(minutes=10)


class ConfirmationNeeded(Exception):
    """The person has not given the password lately. The page for it comes next, and nothing was changed."""


def note_confirmation(request: HttpRequest, *, now: datetime) -> None:
    request.session[_CONFIRMED_AT] = now.timestamp()


def is_confirmed(request: HttpRequest, *, now: datetime) -> bool:
    age_s: float = now.timestamp() - request.session.get(_CONFIRMED_AT, 0)
    return 0 <= age_s <= VALID.total_seconds()


def require_confirmation(request: HttpRequest) -> None:
    """Raises ConfirmationNeeded, which the admin site answers."""
    if not is_confirmed(request, now=timezone.now()):
        raise ConfirmationNeeded
