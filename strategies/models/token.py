from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from exchanges import vault
from strategies import tokens
from strategies.models.fixed import refuse_change


class WebhookTokenQuerySet(models.QuerySet["WebhookToken"]):
    def issue(self, **fields: Any) -> tuple["WebhookToken", str]:
        """Creates a token; returns the row and the clear text, which exists nowhere else and is shown once."""
        issued = tokens.new_token()
        row = self.create(prefix=issued.prefix, digest=issued.digest, **fields)
        return row, issued.clear

    def valid(self, *, now: datetime) -> "WebhookTokenQuerySet":
        unexpired = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
        return self.filter(unexpired, revoked_at__isnull=True, user__is_active=True)

    def find(self, clear: str, *, now: datetime) -> "WebhookToken | None":
        """The valid token with this clear text.

        Unknown, revoked, expired and wrong behind a known prefix take the same steps: one digest, one query that
        finds no row, one comparison. That the database compares digests in its own time tells nothing: nobody can
        choose the digest of a guess.
        """
        digest = tokens.digest_of(clear)
        prefix = tokens.prefix_of(clear) if tokens.is_token(clear) else ""
        row = self.valid(now=now).filter(prefix=prefix, digest=digest).first()
        is_found = tokens.matches(digest, row.digest if row else tokens.DUMMY_DIGEST)
        return row if is_found else None

    def sealed(self) -> "WebhookTokenQuerySet":
        """Rows that hold a secret; read by rotate_credentials."""
        return self.exclude(sealed_signing_secret="")


class WebhookToken(models.Model):
    """Opens the webhook for one user, for all their strategies or for one."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="webhook_tokens", verbose_name=_("user")
    )
    strategy = models.ForeignKey(
        "strategies.Strategy",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="webhook_tokens",
        verbose_name=_("strategy"),
        help_text=_("Empty: every strategy that the user may trade."),
    )
    name = models.CharField(_("name"), max_length=100, blank=True)
    prefix = models.CharField(_("prefix"), max_length=16, db_index=True, editable=False)  # read by find()
    digest = models.CharField(max_length=64, unique=True, editable=False)
    sealed_signing_secret = models.TextField(editable=False, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)

    objects = WebhookTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook token")
        verbose_name_plural = _("webhook tokens")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.prefix}… {self.name}".strip()

    def clean(self) -> None:
        refuse_change(self, "user", "strategy")

    @property
    def identity(self) -> str:
        return f"webhook_token:{self.pk}"

    @property
    def must_be_signed(self) -> bool:
        return bool(self.sealed_signing_secret)

    @property
    def signing_secret(self) -> str:
        """Raises vault.CredentialsUnreadable."""
        return vault.unseal_fields(self.sealed_signing_secret, identity=self.identity)[0]

    def renew_signing_secret(self) -> str:
        """Stores a new one and returns it: from now on deliveries with this token must be signed with it."""
        clear = tokens.new_signing_secret()
        self.sealed_signing_secret = vault.seal_fields([clear], identity=self.identity)
        self.save(update_fields=["sealed_signing_secret"])
        return clear

    def drop_signing_secret(self) -> None:
        """From now on signatures are not looked at."""
        self.sealed_signing_secret = ""
        self.save(update_fields=["sealed_signing_secret"])

    def refresh_seal(self) -> None:
        """As Account's: only this, and only if nobody renewed it meanwhile."""
        WebhookToken.objects.filter(pk=self.pk, sealed_signing_secret=self.sealed_signing_secret).update(
            sealed_signing_secret=vault.reseal(self.sealed_signing_secret)
        )
