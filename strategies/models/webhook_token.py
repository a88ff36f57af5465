from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from exchanges import vault
from exchanges.amounts import plain
from exchanges.enums import Side
from exchanges.fields import ExactDecimalField
from exchanges.models.fixed import refuse_change
from strategies import tokens
from strategies.models.strategy import Dialect
from strategies.models.token import Token, TokenQuerySet
from strategies.networks import Network, parse_networks
from strategies.scope import Scope, text_of, words_of

_KNOWN_LISTS = 4096  # lists of addresses whose parsed form is remembered: every delivery asks


@lru_cache(_KNOWN_LISTS)
def _networks_in(text: str) -> tuple[Network, ...]:
    """Raises ValueError."""
    return parse_networks(words_of(text))


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
    only_side = models.CharField(
        _("only this side"),
        max_length=4,
        blank=True,
        choices=Side.choices,
        help_text=_("For entries; exits and cancels pass on both sides. Empty: both."),
    )
    only_symbols = models.CharField(
        _("only these symbols"),
        max_length=1000,
        blank=True,
        help_text=_("Separated by commas, as in messages; for exits and cancels too. Empty: every symbol."),
    )
    max_notional = ExactDecimalField(
        _("maximum notional per order of this token"),
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("In quote currency, for each account; for entries only. Empty: no limit of the token."),
    )
    only_addresses = models.CharField(
        _("only from these addresses"),
        max_length=1000,
        blank=True,
        help_text=_("Addresses and networks, separated by commas, or tradingview. Empty: every address."),
    )
    sealed_signing_secret = models.TextField(editable=False, blank=True)

    objects = WebhookTokenQuerySet.as_manager()

    class Meta(Token.Meta):
        verbose_name = _("webhook token")
        verbose_name_plural = _("webhook tokens")

    def clean(self) -> None:
        refuse_change(self, "user", "strategy")
        self.only_symbols = text_of(words_of(self.only_symbols))
        self.only_addresses = text_of(words_of(self.only_addresses))
        try:
            _networks_in(self.only_addresses)
        except ValueError as error:
            sentence = _("These must be addresses and networks, such as 192.0.2.7 and 10.0.0.0/8: %(error)s")
            raise ValidationError({"only_addresses": sentence % {"error": error}}) from error

    @property
    def scope(self) -> Scope:
        return Scope(
            side=Side(self.only_side) if self.only_side else None,
            symbols=tuple(words_of(self.only_symbols)),
            max_notional=self.max_notional,
            networks=_networks_in(self.only_addresses),
        )

    @property
    def scope_text(self) -> str:
        """The scope on one line; "" for a token that only its strategy limits."""
        most = "" if self.max_notional is None else f"\u2264 {plain(self.max_notional)}"
        side = self.get_only_side_display() if self.only_side else ""
        return " \u00b7 ".join(filter(None, [str(side), self.only_symbols, most, self.only_addresses]))

    @property
    def place(self) -> vault.Place:
        """The digest ties the signing secret to the token that has to be signed."""
        column, purpose = "strategies_webhooktoken.sealed_signing_secret", f"{self.strategy_id}:{self.digest}"
        return vault.Place(f"webhook_token:{self.pk}", column, self.user_id, purpose)

    @property
    def must_be_signed(self) -> bool:
        return bool(self.sealed_signing_secret)

    @property
    def signing_secret(self) -> str:
        """The signing secret in clear text. Raises vault.CredentialsUnreadable."""
        return vault.unseal_fields(self.sealed_signing_secret, place=self.place)[0]

    def renew_signing_secret(self, *, actor: Actor, now: datetime) -> str:
        """Stores and returns a new signing secret. From now on deliveries with this token must carry a signature."""
        clear = tokens.new_signing_secret()
        sealed = vault.seal_fields([clear], place=self.place)
        self._store_signing_secret(sealed, Action.SIGNATURE_REQUIRED, actor, now)
        return clear

    def drop_signing_secret(self, *, actor: Actor, now: datetime) -> None:
        """Deletes the signing secret. Signatures of deliveries with this token are ignored from now on."""
        self._store_signing_secret("", Action.SIGNATURE_DROPPED, actor, now)

    def _store_signing_secret(self, sealed: str, action: Action, actor: Actor, now: datetime) -> None:
        before = {"must_be_signed": self.must_be_signed}
        self.sealed_signing_secret = sealed
        after = {"must_be_signed": self.must_be_signed}
        with transaction.atomic():
            self.save(update_fields=["sealed_signing_secret"])
            record(action, self, actor=actor, now=now, before=before, after=after)

    def refresh_seal(self) -> None:
        """Encrypts the signing secret again with the newest key, unless the stored secret changed meanwhile."""
        WebhookToken.objects.filter(pk=self.pk, sealed_signing_secret=self.sealed_signing_secret).update(
            sealed_signing_secret=vault.reseal(self.sealed_signing_secret, place=self.place)
        )
