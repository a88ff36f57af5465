"""Forms of the sign-in: name, password and code; the confirmation; the set-up of a second factor."""

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from staff.sign_in.second_factor import check_code, device_of

CODE_HELP = _("Six digits of your authenticator app, or a recovery code.")


def code_field(**more: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "text"})
    return forms.CharField(label=_("Code"), max_length=64, widget=widget, **more)


class SignInForm(AdminAuthenticationForm):
    """One answer for every failure: who guesses passwords does not learn that one was right."""

    code = code_field(required=False)
    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": _(
            "Please enter the correct %(username)s and password for a staff account and, where you have set up a"
            " second factor, its code."
        ),
    }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        user = self.get_user()
        device = device_of(user) if user is not None else None
        if device is None:
            return cleaned
        if not check_code(user, cleaned.get("code", ""), now=timezone.now()):
            credentials = {"username": cleaned.get("username"), "password": "***"}
            user_login_failed.send(sender=__name__, credentials=credentials, request=self.request)
            raise self.get_invalid_login_error()
        user.otp_device = device  # type: ignore[attr-defined]  # django-otp notes the device in the session
        return cleaned


class ConfirmForm(forms.Form):
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )

    def __init__(self, *args: Any, user: User, **more: Any) -> None:
        super().__init__(*args, **more)
        self.user = user
        self.has_device = device_of(user) is not None
        if self.has_device:
            self.fields["code"] = code_field(help_text=CODE_HELP)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        is_right = self.user.check_password(cleaned.get("password", ""))
        if is_right and self.has_device:
            is_right = check_code(self.user, cleaned.get("code", ""), now=timezone.now())
        if not is_right:
            raise ValidationError(_("That was not right. Nothing was changed."), code="not_confirmed")
        return cleaned


class SetUpForm(forms.Form):
    """`sealed` carries the new key from one page to the next, so that looking at the page writes nothing."""

    sealed = forms.CharField(widget=forms.HiddenInput)
    code = code_field(help_text=_("Six digits that the app shows now."))
