"""Rights, second factors, recovery codes and sessions of the people at the desk."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from django_otp.models import Device, DeviceManager, ThrottlingMixin
from django_otp.oath import TOTP

from staff.roles import RIGHTS
from staff.sealing import reseal, seal, unseal

_PURPOSE = "second factor"
STEP_S, NEIGHBORS = 30, 1  # a clock may be half a minute off


class Right(Permission):
    """The permissions of RIGHTS belong to this kind of row."""

    class Meta:
        proxy = True
        verbose_name = _("right")
        verbose_name_plural = _("rights")
        default_permissions = ()
        permissions = [(right.partition(".")[2], name) for right, name in RIGHTS.items()]


class TotpDeviceManager(DeviceManager):  # type: ignore[misc]  # the package has no types
    def sealed(self) -> models.QuerySet["TotpDevice"]:
        """The rows for manage.py rotate_credentials."""
        devices: models.QuerySet[TotpDevice] = self.exclude(sealed_key="")
        return devices


class TotpDevice(ThrottlingMixin, Device):  # type: ignore[misc]  # the package has no types
    """An authenticator app of a person. The key is encrypted; `last_step` is the time step of the last code used."""

    sealed_key = models.TextField(_("key"), editable=False)
    last_step = models.BigIntegerField(_("time step of the last code"), default=-1, editable=False)
    created_at = models.DateTimeField(_("created at"), editable=False)

    objects = TotpDeviceManager()

    class Meta:
        verbose_name = _("second factor")
        verbose_name_plural = _("second factors")
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["user"], name="one_second_factor_per_person")]

    def set_key(self, key: bytes) -> None:
        self.sealed_key = seal(key, purpose=_PURPOSE, person=self.user_id)

    @sensitive_variables("key", "code")
    def step_of(self, code: str, *, now: datetime) -> int | None:
        """The time step of a code that is right now and later than the last used one. Raises SealBroken."""
        key = unseal(self.sealed_key, purpose=_PURPOSE, person=self.user_id)
        return step_of_code(key, code, now=now, after=self.last_step)

    def refresh_seal(self) -> None:
        """Raises SealBroken."""
        TotpDevice.objects.filter(pk=self.pk, sealed_key=self.sealed_key).update(
            sealed_key=reseal(self.sealed_key)
        )

    def get_throttle_factor(self) -> int:
        return 1  # second, doubled with each wrong code in a row


@sensitive_variables("key", "code")
def step_of_code(key: bytes, code: str, *, now: datetime, after: int = -1) -> int | None:
    """The time step at which an authenticator with this key shows the code; None for a wrong code."""
    totp: Any = TOTP(key, step=STEP_S)
    totp.time = now.timestamp()
    if not (code.isascii() and code.isdigit() and len(code) == totp.digits):
        return None
    return totp.t() if totp.verify(int(code), tolerance=NEIGHBORS, min_t=after + 1) else None


class RecoveryCode(models.Model):
    """Replaces one code of a second factor, once. Only the SHA-256 of the 128 random bits is kept."""

    device = models.ForeignKey(
        TotpDevice, on_delete=models.CASCADE, related_name="recovery_codes", verbose_name=_("second factor")
    )
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    used_at = models.DateTimeField(_("used at"), null=True, editable=False)

    class Meta:
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")
        default_permissions = ()

    def __str__(self) -> str:
        return f"#{self.pk}"


class SignInQuerySet(models.QuerySet["SignIn"]):
    def open(self) -> "SignInQuerySet":
        return self.filter(ended_at__isnull=True)

    def going_on(self, *, now: datetime) -> "SignInQuerySet":
        """Open, and neither idle nor old enough to end at the next visit."""
        idle, oldest = (
            timedelta(minutes=settings.SESSION_IDLE_MINUTES),
            timedelta(seconds=settings.SESSION_COOKIE_AGE),
        )
        return self.open().filter(seen_at__gte=now - idle, began_at__gte=now - oldest)


class SignIn(models.Model):
    """One session of a person. The session names this row; nothing here leads to the session's key."""

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="sign_ins", verbose_name=_("person")
    )
    address = models.CharField(_("network address"), max_length=45, blank=True, editable=False)
    browser = models.CharField(_("browser"), max_length=200, blank=True, editable=False)
    began_at = models.DateTimeField(_("began at"), editable=False)
    seen_at = models.DateTimeField(_("last seen at"), editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True, editable=False)

    objects = SignInQuerySet.as_manager()

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        default_permissions = ()
        ordering = ["-seen_at"]
        indexes = [
            # Read by the page of sessions, and at the end of a person's sessions.
            models.Index(fields=["user", "-seen_at"], name="sessions_of_person"),
        ]

    def __str__(self) -> str:
        return f"{self.user.get_username()}, {self.address or '-'}"
