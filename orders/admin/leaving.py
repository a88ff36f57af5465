"""The admin's question on switching off: what should become of what is held and worked."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actor import Actor
from orders.controls.leaving import (
    LeaveChoice,
    Leaver,
    LeftBehind,
    leave,
    leavers_of,
    left_behind,
    switch_off,
)
from orders.models import Order
from orders.turns import state_lock
from staff.acting import actor_of
from staff.admin import PersonAdmin
from staff.pages import ModelAdmin
from staff.people import may_manage
from strategies.admin import SubscriptionAdmin
from strategies.models import Strategy, StrategyAccount, Subscription

CHOICE = "leave_choice"
LEAVING_ACTIONS = ["switch_off"]


class LeavingMixin(ModelAdmin[Any]):
    """Asks before a save, or the action, switches a row off while something is held or worked under the row."""

    actions = LEAVING_ACTIONS

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id)) if object_id else None
        leavers = self._leavers(request, row) if row is not None and request.method == "POST" else []
        left = left_behind(leavers)
        if left and CHOICE not in request.POST and self.has_change_permission(request, row):
            return self._question(request, left)
        response = super().changeform_view(request, object_id, *args, **kwargs)
        if getattr(request, "switched_off", False):
            self._leave(request, leavers)
        return response

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change and any(name in form.changed_data and not getattr(obj, name) for name in _SWITCHES):
            state_lock.hold_exclusive()  # after the commit no entry is sent under the former state
            request.switched_off = True  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def may_switch_off(self, request: HttpRequest, row: Any) -> bool:
        return self.has_change_permission(request, row)

    def _leavers(self, request: HttpRequest, row: Leaver) -> list[StrategyAccount]:
        """The strategy accounts that stop taking part if the submitted form is saved."""
        if not self.may_switch_off(request, row):
            return []
        if _is_switched_off(request, row, "is_active"):
            return list(leavers_of(row))
        if isinstance(row, Strategy) and _is_switched_off(request, row, "is_public"):
            return list(leavers_of(row, goes_private=True))
        return []

    def _question(self, request: HttpRequest, left: Iterable[LeftBehind], *names: str) -> HttpResponse:
        repeated = [
            (name, value)
            for name in request.POST
            if name not in _NOT_REPEATED
            for value in request.POST.getlist(name)
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Switch off"),
            "listed": left,
            "repeated": repeated,
            "choices": LeaveChoice.choices,
            "back": request.get_full_path(),
        }
        return TemplateResponse(request, "admin/orders/leave.html", context)

    def _leave(self, request: HttpRequest, leavers: Iterable[StrategyAccount]) -> None:
        """Does what the person chose. Where nobody was asked, an entry may have come after the look: it is canceled."""
        try:
            choice = LeaveChoice(request.POST.get(CHOICE, ""))
        except ValueError:
            choice = LeaveChoice.CANCEL_ENTRIES
        result = leave(leavers, choice, actor=self._actor(request), clock=timezone.now)
        for order in result.orders:
            self.message_user(request, _order_message(order), _level_of(order))
        if result.orders or CHOICE in request.POST:
            text: Any = _("%(choice)s: %(count)s orders touched.")
            numbers = {"choice": choice.label, "count": len(result.orders)}
            self.message_user(request, text % numbers, messages.WARNING)
        for left in result.left:
            self.message_user(request, _left_message(left), messages.WARNING)

    def _actor(self, request: HttpRequest) -> Actor:
        return actor_of(request, f"{self.opts.app_label}.change_{self.opts.model_name}")

    @admin.action(description=_("Switch off the selected rows"), permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Also asks for rows that are off already: a person may choose again, for example after a crash."""
        rows = [row for row in queryset if self.may_switch_off(request, row)]
        leavers = [strategy_account for row in rows for strategy_account in leavers_of(row)]
        left = left_behind(leavers)
        if left and CHOICE not in request.POST:
            return self._question(request, left)
        if not self.has_change_permission(request):
            raise PermissionDenied
        active = [row for row in rows if row.is_active]
        switch_off(
            queryset.filter(pk__in=[row.pk for row in active]), actor=self._actor(request), now=timezone.now()
        )
        for row in active:
            self.log_change(request, row, "Switched off.")
        text: Any = _("%(count)s rows were switched off.")
        self.message_user(request, text % {"count": len(active)}, messages.SUCCESS)
        self._leave(request, leavers)
        return None


_SWITCHES = ("is_active", "is_public")
# A secret never goes back to the browser: new credentials are entered again after the account was switched off.
_NOT_REPEATED = (CHOICE, "csrfmiddlewaretoken", "api_key", "secret", "password")


def _is_switched_off(request: HttpRequest, row: Leaver, name: str) -> bool:
    """A browser leaves an unticked box out of the form."""
    return bool(getattr(row, name)) and name not in request.POST


def _order_message(order: Order) -> Any:
    names = {"account": order.account.name, "order": order, "status": order.get_status_display()}
    return _("%(account)s, order %(order)s: %(status)s") % names


def _left_message(left: LeftBehind) -> Any:
    numbers = {
        "strategy_account": left.strategy_account,
        "entries": left.entries,
        "exits": left.exits,
        "positions": left.positions,
        "goals": left.goals,
    }
    text: Any = _(
        "Left at %(strategy_account)s: entries %(entries)s, resting exits %(exits)s, positions %(positions)s,"
        " exits under way %(goals)s."
    )
    return text % numbers


def _level_of(order: Order) -> int:
    return messages.SUCCESS if order.status in ("canceled", "filled") else messages.WARNING


admin.site.unregister(Subscription)


@admin.register(Subscription)
class LeavingSubscriptionAdmin(LeavingMixin, SubscriptionAdmin):
    """A subscription is ended, not deleted, while something is held or worked under it."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may_delete = super().has_delete_permission(request, obj)
        return may_delete and obj is not None and not left_behind(leavers_of(obj))


@admin.register(User)
class LeavingUserAdmin(LeavingMixin, PersonAdmin):
    """A user who is switched off leaves all strategies: none of the user's tokens opens anything any more."""

    actions = [*LEAVING_ACTIONS, "remove_second_factors"]

    def may_switch_off(self, request: HttpRequest, row: Any) -> bool:
        """Nobody switches off oneself, or a person with more rights."""
        return may_manage(request.user, row)
