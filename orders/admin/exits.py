"""Admin pages of positions and exit goals: close, try again, end."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders.controls.exits_by_person import end_goals, try_again
from orders.controls.trading_state import close_positions
from orders.models import ExitGoal, Order, Position, Protection
from staff.acting import actor_of
from staff.pages import ReadOnlyAdmin, TabularInline
from staff.roles import OPERATE_ORDERS


class OperatedAdmin(ReadOnlyAdmin):
    """Shows rows that nobody edits; a person who may operate orders may run the actions."""

    operate_right = OPERATE_ORDERS

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(self.operate_right)


@admin.register(Position)
class PositionAdmin(OperatedAdmin):
    list_display = [
        "strategy_account",
        "symbol",
        "quantity",
        "is_dust",
        "entry_price",
        "realized_profit",
        "fees",
        "updated_at",
    ]
    list_filter = ["is_dust", "strategy_account__strategy", "symbol"]
    list_select_related = ["strategy_account__strategy", "strategy_account__account"]
    search_fields = ["symbol", "strategy_account__account__name"]
    actions = ["close"]

    @admin.action(
        description=_("Close the selected positions at the market's price"), permissions=["operate"]
    )
    def close(self, request: HttpRequest, queryset: QuerySet[Position]) -> None:
        orders = close_positions(queryset, actor=actor_of(request, self.operate_right), clock=timezone.now)
        goals = ExitGoal.objects.filter(attempts__in=orders).distinct().select_related("strategy", "account")
        for goal in goals:
            self.message_user(request, _goal_message(goal), _level_of(goal))
        if not orders:
            self.message_user(request, _("Nothing was held that can be traded."), messages.WARNING)


class AttemptInline(TabularInline[Order, ExitGoal]):
    model = Order
    fk_name = "goal"
    verbose_name_plural = _("attempts")
    readonly_fields = fields = (
        "attempt", "status", "order_type", "side", "quantity", "filled", "average", "reason", "exchange_code",
        "submitted_at", "closed_at",
    )  # fmt: skip
    extra = 0
    can_delete = False
    show_change_link = True
    ordering = ["-attempt"]

    def has_add_permission(self, request: HttpRequest, obj: ExitGoal | None = None) -> bool:
        return False


@admin.register(ExitGoal)
class ExitGoalAdmin(OperatedAdmin):
    """Lists the goals before a person first."""

    list_display = [
        "id", "state", "strategy", "account", "symbol", "order_type", "qty_per", "remaining", "reason", "due_at",
        "told_at", "actor", "created_at",
    ]  # fmt: skip
    list_filter = ["state", "strategy", "order_type", "reason", "created_at"]
    list_select_related = ["strategy", "account"]
    search_fields = ["symbol", "account__name", "strategy__group_name", "attempts__client_order_id"]
    ordering = [F("over_at").desc(nulls_first=True), F("told_at").asc(nulls_last=True), "-pk"]
    fields = [
        ("state", "reason"), "explanation", ("strategy", "account"), ("symbol", "side"), ("order_type", "qty_per"),
        ("price", "stop_price"), ("to_remain", "wanted", "remaining"), ("refusals", "due_at"), ("told_at", "over_at"),
        ("actor", "ended_by"), ("protection", "step"), ("created_at", "batch"),
    ]  # fmt: skip
    readonly_fields = ["explanation"]
    inlines = [AttemptInline]
    actions = ["try_again", "close_at_market", "end"]

    @admin.display(description=_("what happened"))
    def explanation(self, goal: ExitGoal) -> str:
        return goal.reason_text

    @admin.action(description=_("Try the selected exits again now"), permissions=["operate"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[ExitGoal]) -> None:
        self._try(request, queryset, at_market=False)

    @admin.action(description=_("Close at the market's price instead"), permissions=["operate"])
    def close_at_market(self, request: HttpRequest, queryset: QuerySet[ExitGoal]) -> None:
        self._try(request, queryset, at_market=True)

    def _try(self, request: HttpRequest, queryset: QuerySet[ExitGoal], *, at_market: bool) -> None:
        actor, now = actor_of(request, self.operate_right), timezone.now()
        tried = {goal.pk for goal in try_again(queryset, at_market=at_market, actor=actor, now=now)}
        for goal in queryset.select_related("strategy", "account"):
            if goal.pk in tried:
                text: Any = _("Exit of %(symbol)s: the next attempt is on its way.")
                self.message_user(request, text % {"symbol": goal.symbol}, messages.SUCCESS)
            else:
                text = _("Exit of %(symbol)s: not tried, because it is over or an attempt is under way.")
                self.message_user(request, text % {"symbol": goal.symbol}, messages.WARNING)

    @admin.action(description=_("End the selected exits; the positions stay open"), permissions=["operate"])
    def end(self, request: HttpRequest, queryset: QuerySet[ExitGoal]) -> None:
        ended = end_goals(queryset, actor=actor_of(request, self.operate_right), clock=timezone.now)
        self.message_user(request, _("%(count)s exits were ended.") % {"count": len(ended)}, messages.WARNING)


class ProtectiveGoalInline(TabularInline[ExitGoal, Protection]):
    model = ExitGoal
    verbose_name_plural = _("protective exits")
    readonly_fields = fields = (
        "step", "state", "order_type", "price", "stop_price", "wanted", "remaining", "reason", "created_at", "over_at",
    )  # fmt: skip
    extra = 0
    can_delete = False
    show_change_link = True
    ordering = ["-pk"]

    def has_add_permission(self, request: HttpRequest, obj: Protection | None = None) -> bool:
        return False


@admin.register(Protection)
class ProtectionAdmin(ReadOnlyAdmin):
    """Lists the positions without their stop first."""

    list_display = [
        "id", "state", "strategy_account", "symbol", "side", "quantity", "average", "stop_price", "best",
        "unprotected_since", "told_at",
    ]  # fmt: skip
    list_filter = ["state", "strategy", "symbol"]
    list_select_related = ["strategy_account__strategy", "strategy_account__account"]
    search_fields = ["symbol", "strategy_account__account__name", "entry__client_order_id"]
    ordering = [F("told_at").asc(nulls_last=True), F("over_at").desc(nulls_first=True), "-pk"]
    inlines = [ProtectiveGoalInline]


def _goal_message(goal: ExitGoal) -> Any:
    names = {"account": goal.account.name, "symbol": goal.symbol, "state": goal.get_state_display()}
    return _("%(account)s, %(symbol)s: %(state)s.") % names


def _level_of(goal: ExitGoal) -> int:
    return messages.SUCCESS if goal.state == "reached" else messages.WARNING
