from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from exchanges import vault
from exchanges.models.fixed import refuse_change
from strategies import tokens
from strategies.models.strategy import Dialect
from strategies.models.token import Token, TokenQuerySet


class WebhookTokenQuerySet(TokenQuerySet["WebhookToken"]):
    def sealed(self) -> "WebhookTokenQuerySet":
        """Tokens with a signing secret. Read by rotate_credentials."""
        return self.exclude(sealed_signing_secret="")


class WebhookToken(Token):
    """Opens the webhook for one user: for every strategy within the user's reach, or for `strategy` only."""

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
    dialect = models.CharField(
        _("dialect"),
        max_length=20,
        blank=True,
        choices=Dialect.choices,
        help_text=_(
            "The service for which this sender's messages were written; empty: the strategy's setting decides."
        ),
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
        """The signing secret in clear text. Raises vault.CredentialsUnreadable."""
        return vault.unseal_fields(self.sealed_signing_secret, identity=self.identity)[0]

    def renew_signing_secret(self) -> str:
        """Stores and returns a new signing secret. From now on deliveries with this token must carry a signature."""
        clear = tokens.new_signing_secret()
        self.sealed_signing_secret = vault.seal_fields([clear], identity=self.identity)
        self.save(update_fields=["sealed_signing_secret"])
        return clear

    def drop_signing_secret(self) -> None:
        """Deletes the signing secret. Signatures of deliveries with this token are ignored from now on."""
        self.sealed_signing_secret = ""
        self.save(update_fields=["sealed_signing_secret"])

    def refresh_seal(self) -> None:
        """Encrypts the signing secret again with the newest key, unless the stored secret changed meanwhile."""
        WebhookToken.objects.filter(pk=self.pk, sealed_signing_secret=self.sealed_signing_secret).update(
            sealed_signing_secret=vault.reseal(self.sealed_signing_secret)
        )
