"""Second factors: codes of an authenticator app, and recovery codes."""

import hashlib
import logging
import secrets
from datetime import datetime
from urllib.parse import quote, urlencode

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.db.models import F
from django.views.decorators.debug import sensitive_variables

from audit import trail
from audit.actions import Action
from audit.actor import Actor
from staff.models import RecoveryCode, TotpDevice
from staff.sealing import SealBroken

logger = logging.getLogger(__name__)

KEY_BYTES = 20  # RFC 4226, section 4
RECOVERY_CODES, RECOVERY_BYTES, _GROUP = 10, 16, 4


def device_of(user: User) -> TotpDevice | None:
    device: TotpDevice | None = TotpDevice.objects.filter(user=user, confirmed=True).first()
    return device


def is_proven(user: User | AnonymousUser) -> bool:
    """Whether the session of this user may do more than set up a second factor."""
    if not settings.STAFF_SECOND_FACTOR or not user.is_staff:
        return True
    is_verified = getattr(user, "is_verified", None)
    return bool(is_verified and is_verified())


def check_code(user: User, code: str, *, now: datetime) -> bool:
    """Whether the code is the app's, or one of the recovery codes. A right code is used up; without a device, none is.

    Wrong codes of the app make the next one wait, longer each time. A recovery code never waits: nobody finds one by
    trying, and a person whose password became known can still get in.
    """
    plain = "".join(code.lower().replace("-", " ").split())
    device = device_of(user)
    if device is None or not plain:
        return False
    if len(plain) == 2 * RECOVERY_BYTES:
        return _use_recovery_code(device, plain, now=now)
    return _use_code(device, plain, now=now)


def _use_code(device: TotpDevice, code: str, *, now: datetime) -> bool:
    """Counts a failure in the database, so that guesses side by side all count."""
    if not device.verify_is_allowed()[0]:
        return False
    try:
        step = device.step_of(code, now=now)
    except SealBroken:
        logger.exception("second factor does not decrypt user=%s", device.user_id)
        return False
    same = TotpDevice.objects.filter(pk=device.pk)
    if step is None:
        same.update(
            throttling_failure_timestamp=now, throttling_failure_count=F("throttling_failure_count") + 1
        )
        return False
    fresh = same.filter(last_step__lt=step, throttling_failure_count=device.throttling_failure_count)
    changed: int = fresh.update(last_step=step, throttling_failure_timestamp=None, throttling_failure_count=0)
    return changed == 1


def _use_recovery_code(device: TotpDevice, code: str, *, now: datetime) -> bool:
    unused = device.recovery_codes.filter(digest=_digest_of(code), used_at__isnull=True)
    if unused.update(used_at=now) != 1:
        return False
    TotpDevice.objects.filter(pk=device.pk).update(
        throttling_failure_timestamp=None, throttling_failure_count=0
    )
    return True


def _digest_of(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


@sensitive_variables()
@transaction.atomic
def enroll(user: User, key: bytes, step: int, *, actor: Actor, now: datetime) -> tuple[TotpDevice, list[str]]:
    """Replaces the person's second factor. Returns the new one, and its recovery codes in clear."""
    TotpDevice.objects.filter(user=user).delete()
    device = TotpDevice(user=user, name="app", confirmed=True, last_step=step, created_at=now)
    device.set_key(key)
    device.save(force_insert=True)
    codes = [secrets.token_hex(RECOVERY_BYTES) for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.bulk_create(RecoveryCode(device=device, digest=_digest_of(code)) for code in codes)
    trail.record(Action.SECOND_FACTOR_ADDED, user, actor=actor, now=now)
    return device, [_grouped(code) for code in codes]


@transaction.atomic
def remove_second_factor(user: User, *, actor: Actor, now: datetime, reason: str = "") -> bool:
    """Returns whether there was one."""
    removed, _rows = TotpDevice.objects.filter(user=user).delete()
    if removed:
        trail.record(Action.SECOND_FACTOR_REMOVED, user, actor=actor, now=now, reason=reason)
    return bool(removed)


def _grouped(code: str) -> str:
    return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))


def provisioning_uri(user: User, base32: str) -> str:
    """What the QR code says: https://github.com/google/google-authenticator/wiki/Key-Uri-Format"""
    label = quote(f"tradehub:{user.get_username()}")
    return f"otpauth://totp/{label}?{urlencode({'secret': base32, 'issuer': 'tradehub'})}"
