"""Pages of the worker's tables and of the audit trail. Nobody edits either.

A person who can write a schedule can run any code.
"""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from django_q.models import Failure, OrmQ, Schedule, Success

from audit.actions import Action
from audit.models import AuditEntry
from exchanges.state_reasons import StateReason
from orders.admin.lists import GrowingAdmin
from staff.pages import ReadOnlyAdmin
from tradehub.http.login import LimitedLoginForm, may_try

admin.site.site_header = admin.site.site_title = "tradehub"
admin.site.login_form = LimitedLoginForm
admin.site.may_try = may_try  # type: ignore[attr-defined]  # StaffSite has it
admin.site.index_title = _("Backoffice")

for _model in (Failure, OrmQ, Schedule, Success):
    if admin.site.is_registered(_model):  # OrmQ is not, where Redis holds the queue
        admin.site.unregister(_model)


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    list_display = ["name", "func", "schedule_type", "minutes", "next_run", "last_run"]


@admin.register(Failure)
class FailureAdmin(ReadOnlyAdmin):
    list_display = ["name", "func", "started", "stopped"]
    readonly_fields = ["result"]


@admin.register(Success)
class SuccessAdmin(ReadOnlyAdmin):
    list_display = ["name", "func", "started", "stopped"]


class ActionFilter(admin.SimpleListFilter):
    title = _("action")
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Action.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(action=self.value()) if self.value() else queryset


class ActorFilter(admin.SimpleListFilter):
    """Filters by a person of the staff; other actors are found by the search."""

    title = _("actor")
    parameter_name = "actor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        people = User.objects.filter(is_staff=True).order_by("username").values_list("pk", "username")
        return [(f"user:{pk}", name) for pk, name in people]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(actor=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(GrowingAdmin):
    """Who did what, by what right, before and after: the newest entries first."""

    list_display = ["number", "at", "action", "who", "kind", "target", "changes", "reason"]
    list_display_links = ["number"]
    list_filter = [ActionFilter, ActorFilter, "at"]
    search_fields = ["target_id__exact", "target__exact", "actor__exact", "label__exact"]
    fields = [
        ("number", "at"), "action", ("actor", "label"), "right", "address", ("target_type", "target_id"), "target",
        "changes", "reason", "previous_hash", "hash",
    ]  # fmt: skip
    readonly_fields = ["changes", "previous_hash", "hash"]

    @admin.display(description=_("actor"))
    def who(self, entry: AuditEntry) -> str:
        return entry.label or entry.actor

    @admin.display(description=_("kind of target"))
    def kind(self, entry: AuditEntry) -> str:
        return entry.target_type.rpartition(".")[2]

    @admin.display(description=_("before and after"))
    def changes(self, entry: AuditEntry) -> Any:
        names = list(dict.fromkeys([*entry.before, *entry.after]))
        lines = ((name, _change_text(name, entry)) for name in names)
        return format_html_join("", "<div>{}: {}</div>", lines) or "-"


def _change_text(name: str, entry: AuditEntry) -> str:
    sides = [_shown(name, side[name]) for side in (entry.before, entry.after) if name in side]
    return " → ".join(sides)


def _shown(name: str, value: Any) -> str:
    if name == "state_reason":
        return str(StateReason(value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(str(key), item)}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(_shown("", item) for item in value)
    return "-" if value in (None, "") else str(value)
