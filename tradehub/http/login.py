"""Limits attempts to log in. The limit comes before hashing: hashing costs time and tells a guesser the result."""

import hashlib
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from staff.sign_in.forms import SignInForm
from webhooks import throttle
from webhooks.senders import neighborhood_of, sender_in

# Attempts a minute. A name is counted for each address, so that nobody can lock another person out.
TRIES_PER_NAME, TRIES_PER_ADDRESS = 10, 30


def may_try(request: HttpRequest, scope: str, name: str) -> bool:
    """Counts an attempt with a name, and returns whether the attempt is allowed."""
    place = neighborhood_of(sender_in(request.META, settings.TRUSTED_PROXIES))
    digest = hashlib.sha256(name.encode()).hexdigest()
    return throttle.is_within(scope, place, TRIES_PER_ADDRESS) and throttle.is_within(
        scope, f"{place}:{digest}", TRIES_PER_NAME
    )


class LimitedLoginForm(SignInForm):
    def clean(self) -> dict[str, Any]:
        assert self.request is not None
        if not may_try(self.request, "login", str(self.cleaned_data.get("username", ""))):
            raise ValidationError(
                _("Too many attempts to log in. Wait a minute, then try again."), code="throttled"
            )
        return super().clean()
