from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from staff.acting import actor_of
from staff.pages import FixedOnceMadeForm, ModelAdmin, TabularInline
from staff.roles import CHANGE_LIMITS, ISSUE_TOKENS_FOR_OTHERS
from staff.sign_in.confirmation import require_confirmation
from strategies import tokens
from strategies.models import (
    LIMIT_NAMES,
    ApiToken,
    Strategy,
    StrategyAccount,
    Subscription,
    Token,
    WebhookToken,
)

STATE_FIELDSET: Any = (_("Trading state"), {"fields": ["trading_state", "state_reason", "state_changed_at"]})
LIMITS_FIELDSET: Any = (
    _("Limits"),
    {
        "classes": ["collapse"],
        "fields": LIMIT_NAMES,
        "description": _("Empty: the next wider level decides; empty everywhere: no limit."),
    },
)


class StrategyForm(FixedOnceMadeForm):
    fixed = ["owner", "market_type"]

    @property
    def is_fixed(self) -> bool:
        strategy: Strategy = self.instance
        return strategy.is_in_use


class StrategyAccountForm(FixedOnceMadeForm):
    fixed = ["strategy", "account"]


class SubscriptionForm(FixedOnceMadeForm):
    """A subscription of somebody else, or to another strategy, would end this subscription without a question."""

    fixed = ["user", "strategy"]


class TokenForm(FixedOnceMadeForm):
    """`may_issue` tells whether the person at the desk may issue a token for a user."""

    fixed = ["user", "strategy"]
    may_issue: Callable[[Any], bool]

    def clean_user(self) -> Any:
        user = self.cleaned_data["user"]
        if not self.is_fixed and not self.may_issue(user):
            raise ValidationError(_("You may issue tokens for yourself only."), code="not_for_others")
        return user


class LimitedAdmin(ModelAdmin[Any]):
    """Shows limits to everybody, and lets those change limits who have the right made for it."""

    limits: Sequence[str] = LIMIT_NAMES

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        return fixed if request.user.has_perm(CHANGE_LIMITS) else [*fixed, *self.limits]


class StrategyAccountInline(TabularInline[StrategyAccount, Strategy]):
    model = StrategyAccount
    form = StrategyAccountForm
    fields = ["account", "capital", "capital_currency", "leverage", "weight", "is_active"]
    # The strategy account's own page switches it off, and asks what to do with what is held.
    readonly_fields = ["is_active"]
    show_change_link = True
    extra = 0
    autocomplete_fields = ["account"]


@admin.register(Strategy)
class StrategyAdmin(LimitedAdmin):
    form = StrategyForm
    list_display = ["group_name", "name", "owner", "market_type", "is_active", "is_public"]
    list_filter = ["is_active", "is_public", "market_type"]
    list_select_related = ["owner"]
    search_fields = ["group_name", "name", "owner__username"]
    autocomplete_fields = ["owner"]
    inlines = [StrategyAccountInline]
    readonly_fields = ["trading_state", "state_reason", "state_changed_at", "heard_at", "silent_since"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("owner", "market_type"),
                    ("name", "group_name"),
                    ("is_active", "is_public"),
                    ("max_lag_s", "passed_stop", "unprotected"),
                    ("on_gap", "heartbeat_s"),
                    ("dialect", "percent_of_capital"),
                    ("heard_at", "silent_since"),
                ]
            },
        ),
        STATE_FIELDSET,
        LIMITS_FIELDSET,
    ]

    def save_model(self, request: HttpRequest, obj: Strategy, form: Any, change: bool) -> None:
        if obj.is_public and "is_public" in form.changed_data:
            require_confirmation(request)
        super().save_model(request, obj, form, change)


@admin.register(StrategyAccount)
class StrategyAccountAdmin(LimitedAdmin):
    form = StrategyAccountForm
    list_display = [
        "strategy",
        "account",
        "capital",
        "capital_currency",
        "leverage",
        "max_symbols",
        "is_active",
    ]
    list_filter = ["is_active", "strategy"]
    list_select_related = ["strategy", "account"]
    search_fields = ["strategy__group_name", "account__name"]
    autocomplete_fields = ["strategy", "account"]
    readonly_fields = ["trading_state", "state_reason", "state_changed_at"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("strategy", "account"),
                    ("capital", "capital_currency"),
                    ("leverage", "weight"),
                    ("is_active", "may_sell_own_coins"),
                ]
            },
        ),
        STATE_FIELDSET,
        LIMITS_FIELDSET,
    ]


@admin.register(Subscription)
class SubscriptionAdmin(ModelAdmin[Subscription]):
    form = SubscriptionForm
    list_display = ["user", "strategy", "is_active", "created_at"]
    list_filter = ["is_active", "strategy"]
    list_select_related = ["user", "strategy"]
    search_fields = ["user__username", "strategy__group_name"]
    autocomplete_fields = ["user", "strategy"]


class TokenAdmin(ModelAdmin[Token]):
    """The clear text of a token is shown once, when the token is made. A token is revoked, never deleted."""

    form = TokenForm
    list_filter = ["revoked_at"]
    search_fields = ["prefix", "name", "user__username"]
    actions = ["revoke"]

    def may_issue_for(self, request: HttpRequest, user: Any) -> bool:
        """A token opens whatever its user reaches, so a token for somebody else takes a right of its own."""
        return user == request.user or request.user.has_perm(ISSUE_TOKENS_FOR_OTHERS)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A later end is as good as a new token. Everybody with the right to change may revoke."""
        may_change = super().has_change_permission(request, obj)
        return may_change and (obj is None or self.may_issue_for(request, obj.user))

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(request, *args, **kwargs)
        form.may_issue = staticmethod(partial(self.may_issue_for, request))  # type: ignore[attr-defined]
        return form

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        may_save = self.has_add_permission(request) or self.has_change_permission(request)
        if may_save and (object_id is None or request.method == "POST"):
            require_confirmation(request)
        return super().changeform_view(request, object_id, *args, **kwargs)

    def may_issue_again(self, request: HttpRequest, chosen: Iterable[Token]) -> bool:
        """Whether what opens the chosen tokens may be changed. Tells the person why not."""
        require_confirmation(request)
        is_allowed = all(self.may_issue_for(request, token.user) for token in chosen)
        if not is_allowed:
            self.message_user(request, _("You may issue tokens for yourself only."), messages.ERROR)
        return is_allowed

    def save_model(self, request: HttpRequest, obj: Token, form: Any, change: bool) -> None:
        if not change:
            issued = tokens.new_token(obj.mark)
            obj.prefix, obj.digest = issued.prefix, issued.digest
            request.issued = issued.clear  # type: ignore[attr-defined]  # read by response_add
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: Token, *args: Any) -> HttpResponse:
        issued: str = request.issued  # type: ignore[attr-defined]
        return self.show_once(request, [(obj, issued)], _("The token, shown only this once:"))

    @sensitive_variables()
    def show_once(
        self, request: HttpRequest, shown: Sequence[tuple[Token, str]], explanation: Any
    ) -> HttpResponse:
        """Shows clear texts on a page that is stored nowhere: a message would pass through a cookie or a session."""
        context = {**self.admin_site.each_context(request), "shown": shown, "explanation": explanation}
        context["back"] = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        response = TemplateResponse(request, "admin/strategies/shown_once.html", context)
        add_never_cache_headers(response)
        return response

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # deliveries refer to their token; a token is revoked instead

    @admin.action(description=_("Revoke the selected tokens"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        actor = actor_of(request, f"strategies.change_{self.opts.model_name}")
        revoked = queryset.revoke(actor=actor, now=timezone.now())  # type: ignore[attr-defined]
        self.message_user(request, _("%(count)s tokens were revoked.") % {"count": revoked})


TOKENS_LIVE = timedelta(days=180)


@admin.register(ApiToken)
class ApiTokenAdmin(TokenAdmin):
    fields = ["user", "name", "expires_at"]
    list_display = ["prefix", "user", "name", "last_used_at", "expires_at", "revoked_at"]
    list_select_related = ["user"]
    autocomplete_fields = ["user"]


@admin.register(WebhookToken)
class WebhookTokenAdmin(TokenAdmin):
    fields = [
        ("user", "strategy"), ("name", "dialect"), "expires_at", ("only_side", "max_notional"), "only_symbols",
        "only_addresses",
    ]  # fmt: skip
    list_display = [
        "prefix", "user", "strategy", "name", "scope", "dialect", "must_be_signed", "last_used_at", "expires_at",
        "revoked_at",
    ]  # fmt: skip
    list_select_related = ["user", "strategy"]
    autocomplete_fields = ["user", "strategy"]
    actions = [*TokenAdmin.actions, "renew_signing_secret", "drop_signing_secret"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new token ends by itself, unless a person clears the field."""
        ends = (timezone.now() + TOKENS_LIVE).replace(microsecond=0)
        return {"expires_at": ends, **super().get_changeform_initial_data(request)}

    @admin.display(description=_("scope"))
    def scope(self, token: WebhookToken) -> str:
        return token.scope_text

    @admin.display(boolean=True, description=_("must be signed"))
    def must_be_signed(self, token: WebhookToken) -> bool:
        return token.must_be_signed

    @admin.action(description=_("Require signatures: make a new signing secret"), permissions=["change"])
    @sensitive_variables()
    def renew_signing_secret(
        self, request: HttpRequest, queryset: QuerySet[WebhookToken]
    ) -> HttpResponse | None:
        if not self.may_issue_again(request, queryset.select_related("user")):
            return None
        actor, now = actor_of(request, "strategies.change_webhooktoken"), timezone.now()
        shown = [(token, token.renew_signing_secret(actor=actor, now=now)) for token in queryset]
        for token, _secret in shown:
            self.log_change(request, token, "Signing secret renewed.")
        return self.show_once(
            request,
            shown,
            _(
                "The signing secret, shown only this once. Deliveries with this token must now be signed with it:"
            ),
        )

    @admin.action(description=_("Require no signatures any more"), permissions=["change"])
    def drop_signing_secret(self, request: HttpRequest, queryset: QuerySet[WebhookToken]) -> None:
        if not self.may_issue_again(request, queryset.select_related("user")):
            return
        actor = actor_of(request, "strategies.change_webhooktoken")
        for token in queryset.exclude(sealed_signing_secret=""):
            token.drop_signing_secret(actor=actor, now=timezone.now())
            self.log_change(request, token, "Signing secret dropped.")
        self.message_user(request, _("Deliveries with these tokens need no signature."))
