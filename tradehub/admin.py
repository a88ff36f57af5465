"""Shows the worker's tables read-only, because a person who can write a schedule can run any code."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from django_q.models import Failure, OrmQ, Schedule, Success

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
