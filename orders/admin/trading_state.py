"""Admin actions to stop and start trade, on the pages of strategies, strategy accounts, accounts and the system."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from exchanges.admin import AccountAdmin
from exchanges.enums import TradingState
from exchanges.models import Account
from exchanges.state_reasons import StateReason
from orders.admin.key_change import holds_or_works_something
from orders.admin.leaving import LEAVING_ACTIONS, LeavingMixin
from orders.controls.trading_state import Level, change_trading_state
from staff.acting import actor_of
from staff.pages import ModelAdmin
from staff.roles import HALT, OPERATE_ORDERS, RESUME
from staff.sign_in.confirmation import require_confirmation
from strategies.admin import (
    LIMITS_FIELDSET,
    STATE_FIELDSET,
    LimitedAdmin,
    StrategyAccountAdmin,
    StrategyAdmin,
)
from strategies.models import LIMIT_NAMES, Strategy, StrategyAccount, SystemRisk

BUDGET_NAMES = ("token_orders_per_minute", "user_orders_per_minute", "all_orders_per_minute")
BUDGETS_FIELDSET: Any = (
    _("Budgets of orders"),
    {
        "fields": BUDGET_NAMES,
        "description": _("Above a budget an alert with entries only is refused (429) until the minute ends."),
    },
)
TRADING_ACTIONS = ["activate", "exits_only", "halt", "halt_and_cancel", "halt_cancel_and_close"]


class TradingStateMixin(ModelAdmin[Any]):
    """Only these actions change a trading state in the admin. Each action makes one service call per row."""

    actions = TRADING_ACTIONS

    def has_halt_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(HALT)

    def has_close_out_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms([HALT, OPERATE_ORDERS])

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(RESUME)

    @admin.action(description=_("Trading: activate"), permissions=["resume"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Level]) -> None:
        require_confirmation(request)
        self._change_state(request, queryset, TradingState.ACTIVE)

    @admin.action(description=_("Trading: exits only"), permissions=["halt"])
    def exits_only(self, request: HttpRequest, queryset: QuerySet[Level]) -> None:
        self._change_state(request, queryset, TradingState.REDUCE_ONLY)

    @admin.action(description=_("Trading: halt"), permissions=["halt"])
    def halt(self, request: HttpRequest, queryset: QuerySet[Level]) -> None:
        self._change_state(request, queryset, TradingState.HALTED)

    @admin.action(description=_("Trading: halt and cancel all orders"), permissions=["close_out"])
    def halt_and_cancel(self, request: HttpRequest, queryset: QuerySet[Level]) -> None:
        self._change_state(request, queryset, TradingState.HALTED, cancel_all=True)

    @admin.action(
        description=_("Trading: halt, cancel all orders and close all positions"), permissions=["close_out"]
    )
    def halt_cancel_and_close(self, request: HttpRequest, queryset: QuerySet[Level]) -> None:
        self._change_state(request, queryset, TradingState.HALTED, cancel_all=True, close_all=True)

    def _change_state(
        self, request: HttpRequest, rows: QuerySet[Level], state: TradingState, **extent: bool
    ) -> None:
        actor = actor_of(request, RESUME if state is TradingState.ACTIVE else HALT)
        reason = StateReason.of("set_by", user=request.user.get_username())
        for row in rows:
            touched = change_trading_state(
                row, state, reason=reason, actor=actor, clock=timezone.now, **extent
            )
            self.message_user(
                request,
                _("%(row)s: %(state)s; %(count)s orders touched.")
                % {"row": _named(row), "state": TradingState(row.trading_state).label, "count": len(touched)},
                messages.WARNING if state is not TradingState.ACTIVE else messages.SUCCESS,
            )
            if row.trading_state != state:
                self.message_user(
                    request,
                    _(
                        "%(row)s: something is still held or on its way, so exits still go out."
                        " Look at its orders and do this again."
                    )
                    % {"row": _named(row)},
                    messages.ERROR,
                )


def _named(row: Level) -> str:
    """The level with its kind before its name: a message begins with a capital letter, and a name may not."""
    return str(row) if isinstance(row, SystemRisk) else f"{row._meta.verbose_name} {row}"


admin.site.unregister([Strategy, StrategyAccount, Account])


@admin.register(Strategy)
class HaltableStrategyAdmin(TradingStateMixin, LeavingMixin, StrategyAdmin):
    actions = [*TRADING_ACTIONS, *LEAVING_ACTIONS]
    list_display = [*StrategyAdmin.list_display, "trading_state"]
    list_filter = ["trading_state", *StrategyAdmin.list_filter]


@admin.register(StrategyAccount)
class HaltableStrategyAccountAdmin(TradingStateMixin, LeavingMixin, StrategyAccountAdmin):
    actions = [*TRADING_ACTIONS, *LEAVING_ACTIONS]
    list_display = [*StrategyAccountAdmin.list_display, "trading_state"]
    list_filter = ["trading_state", *StrategyAccountAdmin.list_filter]


@admin.register(Account)
class HaltableAccountAdmin(TradingStateMixin, LeavingMixin, AccountAdmin):
    actions = [*TRADING_ACTIONS, *LEAVING_ACTIONS]
    works_something = staticmethod(holds_or_works_something)
    list_display = [*AccountAdmin.list_display, "trading_state"]
    list_filter = ["trading_state", *AccountAdmin.list_filter]


@admin.register(SystemRisk)
class SystemRiskAdmin(TradingStateMixin, LimitedAdmin):
    readonly_fields = ["trading_state", "state_reason", "state_changed_at"]
    limits = (*LIMIT_NAMES, *BUDGET_NAMES)
    fieldsets = [STATE_FIELDSET, LIMITS_FIELDSET, BUDGETS_FIELDSET]
    list_display = ["__str__", "trading_state", "state_reason", "state_changed_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: SystemRisk | None = None) -> bool:
        return False
