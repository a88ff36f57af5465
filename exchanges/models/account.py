from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from exchanges import registry, vault
from exchanges.adapters.protocol import Credentials
from exchanges.enums import KeyFinding, TradingState
from exchanges.fields import StateReasonField
from exchanges.models.fixed import refuse_change
from exchanges.pause_record import key_digest


class AccountQuerySet(models.QuerySet["Account"]):
    def active(self) -> "AccountQuerySet":
        return self.filter(is_active=True)

    def sealed(self) -> "AccountQuerySet":
        """The rows with a secret; the command rotate_credentials reads these rows."""
        return self.exclude(sealed_credentials="")


class Account(models.Model):
    """One set of credentials at one exchange."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="accounts", verbose_name=_("owner")
    )
    name = models.CharField(_("name"), max_length=100)
    exchange = models.CharField(_("exchange"), max_length=40, choices=registry.exchange_choices)
    is_active = models.BooleanField(_("active"), default=True)
    trading_state = models.CharField(
        _("trading state"), max_length=12, choices=TradingState.choices, default=TradingState.ACTIVE
    )
    state_reason = StateReasonField(_("reason of the state"), max_length=200, blank=True)
    state_changed_at = models.DateTimeField(_("state changed at"), null=True, blank=True, editable=False)
    uid = models.UUIDField(default=uuid4, unique=True, editable=False)
    sealed_credentials = models.TextField(editable=False, blank=True)
    # The exchange's own id of the account, equal for all keys of the account; empty where the exchange tells none.
    exchange_account_id = models.CharField(
        _("account id at the exchange"), max_length=80, blank=True, editable=False
    )
    # What the exchange last told of the key's permissions, at `key_checked_at`; a process last asked at `key_asked_at`.
    key_finding = models.CharField(
        _("key"), max_length=20, choices=KeyFinding.choices, blank=True, editable=False
    )
    key_checked_at = models.DateTimeField(_("key checked at"), null=True, editable=False)
    key_asked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    # The last comparison of our records with the exchange to which every question was answered began at `compared_at`;
    # entries need a young one. A process last began a comparison at `compare_claimed_at`. The comparison last covered
    # everything that the exchange knows of the account at `swept_at`.
    compared_at = models.DateTimeField(null=True, editable=False)
    compare_claimed_at = models.DateTimeField(null=True, editable=False)
    swept_at = models.DateTimeField(null=True, editable=False)

    changed_as = {"sealed_credentials": Action.KEY_CHANGED, "key": Action.KEY_CHANGED}

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="account_name_once_per_owner")]

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> vault.Place:
        """`clean` lets nobody change the owner and the exchange; `uid` never changes."""
        column = "exchanges_account.sealed_credentials"
        return vault.Place(f"account:{self.uid}", column, self.owner_id, self.exchange)

    def set_credentials(self, credentials: Credentials) -> None:
        """Encrypts the credentials for this row, its owner and its exchange; call save() afterwards."""
        self.sealed_credentials = vault.seal(credentials, place=self.place)

    def audited_facts(self) -> dict[str, str]:
        """The fingerprint of the API key: the audit trail tells keys apart, and holds none."""
        try:
            return {"key": key_digest(vault.credentials_of(self).api_key)}
        except vault.CredentialsUnreadable:
            return {"key": ""}

    @property
    def opaque_name(self) -> str:
        """The name of the account for other users than the owner; the name never changes and tells nothing."""
        return f"subscriber-{self.uid.hex[:8]}"

    def refresh_seal(self) -> None:
        """Encrypts the secret again with the newest key, and saves the secret unless the secret changed meanwhile."""
        Account.objects.filter(pk=self.pk, sealed_credentials=self.sealed_credentials).update(
            sealed_credentials=vault.reseal(self.sealed_credentials, place=self.place)
        )

    def clean_fields(self, exclude: Any = None) -> None:
        self.name = self.name.strip()
        super().clean_fields(exclude=exclude)

    def clean(self) -> None:
        refuse_change(self, "owner", "exchange")
