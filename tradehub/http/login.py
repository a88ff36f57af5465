"""Limits attempts to log in. The limit comes before hashing: hashing costs time and tells a guesser the result."""

import hashlib
from typing import Any

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from webhooks import throttle
from webhooks.senders import neighborhood_of, sender_in

# Attempts a minute. A name is counted for each address, so that nobody can lock another person out.
TRIES_PER_NAME, TRIES_PER_ADDRESS = 10, 30


class LimitedLoginForm(AdminAuthenticationForm):
    def clean(self) -> dict[str, Any]:
        if not self._may_try():
            raise ValidationError(
                _("Too many attempts to log in. Wait a minute, then try again."), code="throttled"
            )
        return super().clean()

    def _may_try(self) -> bool:
        assert self.request is not None
        place = neighborhood_of(sender_in(self.request.META, settings.TRUSTED_PROXIES))
        name = hashlib.sha256(str(self.cleaned_data.get("username", "")).encode()).hexdigest()
        return throttle.is_within("login", place, TRIES_PER_ADDRESS) and throttle.is_within(
            "login", f"{place}:{name}", TRIES_PER_NAME
        )
