from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from exchanges import vault
from exchanges.models.fixed import refuse_change
from strategies import tokens
from strategies.models.token import Token, TokenQuerySet


class WebhookTokenQuerySet(TokenQuerySet["WebhookToken"]):
    def sealed(self) -> "WebhookTokenQuerySet":
        """Rows that hold a secret; read by rotate_credentials."""
        return self.exclude(sealed_signing_secret="")


class WebhookToken(Token):
    """Opens the webhook for one user, for all their strategies or for one."""

    mark = tokens.WEBHOOK_MARK

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
    sealed_signing_secret = models.TextField(editable=False, blank=True)

    objects = WebhookTokenQuerySet.as_manager()

    class Meta(Token.Meta):
        verbose_name = _("webhook token")
        verbose_name_plural = _("webhook tokens")

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
