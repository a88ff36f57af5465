from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from exchanges import pauses
from exchanges.account_checks import entry_check
from exchanges.account_checks.key_change import (
    KeyChange,
    read_key_change,
    refusal_of_change,
    warning_of_change,
)
from exchanges.adapters.protocol import Credentials
from exchanges.models import Account, ExchangePause, Market, MarketList
from exchanges.pause_record import key_digest
from exchanges.registry import EXCHANGES
from exchanges.vault import CredentialsUnreadable, credentials_of
from staff.acting import actor_of
from staff.pages import FixedOnceMadeForm, ModelAdmin, ReadOnlyAdmin
from staff.roles import REPLACE_KEYS_OF_OTHERS
from staff.sign_in.confirmation import require_confirmation


class UnseenInput(forms.TextInput):
    """Shows the characters during typing, and never sends a submitted value back to the browser."""

    def format_value(self, value: Any) -> None:
        return None


def works_nothing(account: Account) -> bool:
    """Says that no order and no position needs the present keys: this app knows neither."""
    return False


class AccountForm(FixedOnceMadeForm):
    """Takes credentials in, and never shows stored credentials. Empty fields keep the stored credentials.

    The form keeps new credentials only after the exchange answered about their permissions, and refuses credentials
    with permission to withdraw, and credentials of another account while the present account still has something open.
    `verdict` and `key_change` hold the exchange's answers where the view asked the exchange before.
    """

    api_key = forms.CharField(label=_("API key"), required=False, widget=UnseenInput)
    secret = forms.CharField(label=_("secret"), required=False, widget=forms.PasswordInput)
    password = forms.CharField(label=_("API password"), required=False, widget=forms.PasswordInput)

    is_same_account = forms.BooleanField(
        label=_("The new key is of the same account"),
        required=False,
        help_text=_(
            "Only for new keys of an account whose exchange does not tell to which account a key belongs."
        ),
    )

    verdict: entry_check.Verdict | None = None
    key_change: KeyChange | None = None
    works_something: Callable[[Account], bool] = staticmethod(works_nothing)
    may_enter_keys: Callable[[Any], bool]
    fixed = ["owner", "exchange"]

    class Meta:
        model = Account
        fields = ["owner", "name", "exchange", "is_active"]

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if bool(cleaned.get("api_key")) != bool(cleaned.get("secret")):
            raise forms.ValidationError(_("Enter the API key and its secret together."))
        if cleaned.get("password") and not cleaned.get("api_key"):
            raise forms.ValidationError(_("Enter the API password together with its API key and secret."))
        if not self.instance.sealed_credentials and not cleaned.get("api_key"):
            raise forms.ValidationError(_("A new account needs an API key and its secret."))
        if cleaned.get("api_key") and not self.may_enter_keys(cleaned.get("owner")):
            raise forms.ValidationError(_("You may enter keys for your own accounts only."), code="not_yours")
        if cleaned.get("api_key") and cleaned.get("exchange"):
            self._examine(cleaned)
        return cleaned

    @sensitive_variables()
    def _examine(self, cleaned: dict[str, Any]) -> None:
        exchange, credentials = cleaned["exchange"], credentials_in(cleaned)
        asked = self.verdict
        if asked is None or (asked.exchange, asked.credentials) != (exchange, credentials):
            self.verdict = entry_check.examine_key(exchange, credentials)
        assert self.verdict is not None
        if self.verdict.refusal:
            raise forms.ValidationError(self.verdict.refusal, code="key_refused")
        self._compare_accounts(cleaned, exchange, credentials)

    @sensitive_variables()
    def _compare_accounts(self, cleaned: dict[str, Any], exchange: str, credentials: Credentials) -> None:
        known = self.instance if self.is_fixed else None
        if self.key_change is None or self.key_change.credentials != credentials:
            self.key_change = read_key_change(known, exchange, credentials)
        refusal = refusal_of_change(
            self.key_change,
            works_something=known is not None and self.works_something(known),
            is_confirmed=bool(cleaned.get("is_same_account")),
        )
        if refusal:
            raise forms.ValidationError(refusal, code="another_account")

    def save(self, commit: bool = True) -> Account:
        if not self.is_fixed:
            # The books of a new account are empty, and the exchange has answered: there is nothing to compare.
            self.instance.compared_at = timezone.now()
        if self.cleaned_data["api_key"]:
            assert self.key_change is not None
            self.instance.set_credentials(credentials_in(self.cleaned_data))
            self.instance.exchange_account_id = self.key_change.account_id(
                is_confirmed=self.cleaned_data["is_same_account"]
            )
            assert self.verdict is not None
            self.instance.key_finding = self.verdict.finding or ""
            self.instance.key_checked_at = self.instance.key_asked_at = timezone.now()
        account: Account = super().save(commit)
        return account


@sensitive_variables()
def credentials_in(fields: Any) -> Credentials:
    """The credentials in a form's fields, without the spaces around the text."""
    return Credentials(*(str(fields.get(name, "")).strip() for name in ("api_key", "secret", "password")))


@admin.register(Account)
class AccountAdmin(ModelAdmin[Account]):
    """`works_something` tells whether an account has open orders, orders in doubt or positions."""

    works_something: Callable[[Account], bool] = staticmethod(works_nothing)
    form = AccountForm
    readonly_fields = [
        "trading_state", "state_reason", "state_changed_at", "key_finding", "key_checked_at",
    ]  # fmt: skip
    list_display = ["name", "owner", "exchange", "is_active", "key_finding", "created_at"]
    list_filter = ["key_finding", "is_active", "exchange"]
    list_select_related = ["owner"]
    search_fields = ["name", "owner__username"]
    autocomplete_fields = ["owner"]

    @method_decorator(sensitive_post_parameters("api_key", "secret", "password"))
    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Asks the exchange about the key before Django opens the transaction of the change form.

        No code waits for the network inside a transaction.
        """
        known = self.get_object(request, unquote(object_id)) if object_id else None
        if request.POST.get("api_key") and self._may_save(request):
            require_confirmation(request)
        exchange = known.exchange if known else request.POST.get("exchange", "")
        request.verdict = self._verdict(request, known, exchange)  # type: ignore[attr-defined]
        request.key_change = self._key_change(request, known, exchange)  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, *args, **kwargs)

    def _verdict(
        self, request: HttpRequest, known: Account | None, exchange: str
    ) -> entry_check.Verdict | None:
        credentials = credentials_in(request.POST)
        if (
            not self._may_ask_with_keys(request, known)
            or exchange not in EXCHANGES
            or not (credentials.api_key and credentials.secret)
        ):
            return None
        return entry_check.examine_key(exchange, credentials)

    def _may_save(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request) or self.has_change_permission(request)

    def _may_ask_with_keys(self, request: HttpRequest, known: Account | None) -> bool:
        """A key that the person may not enter goes to no exchange."""
        is_own = str(known.owner_id if known else request.POST.get("owner")) == str(request.user.pk)
        return self._may_save(request) and (is_own or request.user.has_perm(REPLACE_KEYS_OF_OTHERS))

    def may_enter_keys_of(self, request: HttpRequest, owner: Any) -> bool:
        """Other keys let somebody else's strategies trade another account: that takes a right of its own."""
        return owner == request.user or request.user.has_perm(REPLACE_KEYS_OF_OTHERS)

    def _key_change(self, request: HttpRequest, known: Account | None, exchange: str) -> KeyChange | None:
        """Asks for the accounts of a key that passed the check, and of the key before."""
        verdict: entry_check.Verdict | None = request.verdict  # type: ignore[attr-defined]
        if verdict is None or verdict.refusal:
            return None
        return read_key_change(known, exchange, verdict.credentials)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(request, *args, **kwargs)
        form.verdict = getattr(request, "verdict", None)  # type: ignore[attr-defined]
        form.key_change = getattr(request, "key_change", None)  # type: ignore[attr-defined]
        form.may_enter_keys = staticmethod(partial(self.may_enter_keys_of, request))  # type: ignore[attr-defined]
        form.works_something = staticmethod(self.works_something)  # type: ignore[attr-defined]
        return form

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if form.cleaned_data["api_key"]:
            of_change = warning_of_change(form.key_change) if change else None
            for warning in filter(None, [*form.verdict.warnings, of_change]):
                self.message_user(request, warning, messages.WARNING)


@admin.register(Market)
class MarketAdmin(ReadOnlyAdmin):
    list_display = ["symbol", "exchange", "market_type", "tick_size", "lot_size", "min_notional", "is_active"]
    list_filter = ["exchange", "market_type", "is_active"]
    search_fields = ["symbol", "exchange_symbol"]


@admin.register(MarketList)
class MarketListAdmin(ReadOnlyAdmin):
    list_display = ["exchange", "market_type", "loaded_at", "is_doubted"]


@admin.register(ExchangePause)
class ExchangePauseAdmin(ReadOnlyAdmin):
    list_display = ["exchange", "account", "until", "asked_s", "reason", "told_at", "lifted_at"]
    list_filter = ["exchange"]
    actions = ["lift"]

    def has_lift_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("exchanges.change_exchangepause")

    @admin.display(description=_("account"))
    def account(self, pause: ExchangePause) -> str:
        """The account whose key the exchange throttles; "all" for a pause of the whole address."""
        return account_of_key(pause) if pause.key_digest else gettext("all")

    @admin.action(description=_("Lift the selected pauses"), permissions=["lift"])
    def lift(self, request: HttpRequest, chosen: QuerySet[ExchangePause]) -> None:
        rows = list(chosen)
        actor = actor_of(request, "exchanges.change_exchangepause")
        pauses.lift_pauses([row.key for row in rows], actor=actor, now=timezone.now())
        for row in rows:
            self.log_change(request, row, gettext("Lifted."))
        self.message_user(
            request,
            ngettext(
                "%(count)s pause was lifted. Every process sends again within seconds.",
                "%(count)s pauses were lifted. Every process sends again within seconds.",
                len(rows),
            )
            % {"count": len(rows)},
        )


def account_of_key(pause: ExchangePause) -> str:
    """The name of the account with the paused key; the digest for a key that no account has any more."""
    for account in Account.objects.filter(exchange=pause.exchange):
        with suppress(CredentialsUnreadable):
            if key_digest(credentials_of(account).api_key) == pause.key_digest:
                return account.name
    return pause.key_digest
