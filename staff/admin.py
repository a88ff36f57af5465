"""Pages of people and roles, in the place of Django's."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit import trail
from audit.actions import Action
from staff.acting import actor_of
from staff.pages import ModelAdmin, ReadOnlyAdmin
from staff.people import grantable_permissions, grantable_roles, may_manage
from staff.roles import MANAGE_PEOPLE
from staff.sign_in.confirmation import require_confirmation
from staff.sign_in.second_factor import device_of, remove_second_factor
from staff.sign_in.sessions import end_sessions, open_sessions

RIGHTS_FIELDS = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")

admin.site.unregister([User, Group])


class PersonAdmin(ModelAdmin[User], UserAdmin):  # type: ignore[type-arg]  # no brackets at run time
    """Who may manage people changes others, as far as the own rights go, and never the own roles."""

    demanded_right = MANAGE_PEOPLE

    list_display = (
        "username",
        "first_name",
        "last_name",
        "is_active",
        "is_staff",
        "is_superuser",
        "second_factor",
    )

    def has_manage_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(MANAGE_PEOPLE)

    def has_view_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return self.has_manage_permission(request) or request.user.has_perm("auth.view_user")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_manage_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        is_own = obj is not None and obj.pk == request.user.pk
        return self.has_manage_permission(request) and (
            obj is None or is_own or may_manage(request.user, obj)
        )

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """One person at a time: a selection could hold people with more rights."""
        return obj is not None and may_manage(request.user, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fixed = ["last_login", "date_joined"]
        if obj is not None and obj.pk == request.user.pk:
            return [*fixed, *RIGHTS_FIELDS]
        return fixed if getattr(request.user, "is_superuser", False) else [*fixed, "is_superuser"]

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Without a word about the stored password for those who cannot set it."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or may_manage(request.user, obj):
            return fieldsets
        return [(None, {"fields": ("username",)}), *list(fieldsets)[1:]]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **more: Any) -> Any:
        grantable = {"groups": grantable_roles, "user_permissions": grantable_permissions}
        if db_field.name in grantable:
            more["queryset"] = grantable[db_field.name](request.user)
        return super().formfield_for_manytomany(db_field, request, **more)

    @admin.display(boolean=True, description=_("second factor"))
    def second_factor(self, user: User) -> bool:
        return device_of(user) is not None

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if self.has_manage_permission(request) and (request.method == "POST" or object_id is None):
            require_confirmation(request)
        return super().changeform_view(request, object_id, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.has_manage_permission(request):
            require_confirmation(request)
        return super().delete_view(request, *args, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Changed rights end the person's sessions. The base of all pages leaves the entry about the rights."""
        super().save_related(request, form, formsets, change)
        if set(RIGHTS_FIELDS) & set(form.changed_data):
            actor, now = actor_of(request, MANAGE_PEOPLE), timezone.now()
            end_sessions(open_sessions(form.instance), actor=actor, now=now)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Somebody else's password only: one's own page asks for the old password."""
        person = self.get_object(request, id)
        if person is None or not may_manage(request.user, person):
            raise PermissionDenied
        require_confirmation(request)
        with transaction.atomic():
            response = super().user_change_password(request, id, form_url)
            if isinstance(response, HttpResponseRedirect):
                actor, now = actor_of(request, MANAGE_PEOPLE), timezone.now()
                end_sessions(open_sessions(person), actor=actor, now=now)
                trail.record(Action.PASSWORD_CHANGED, person, actor=actor, now=now)
        return response

    @admin.action(description=_("Remove the second factor of the selected people"), permissions=["manage"])
    def remove_second_factors(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        require_confirmation(request)
        actor, now = actor_of(request, MANAGE_PEOPLE), timezone.now()
        for person in queryset:
            if not may_manage(request.user, person):
                text: Any = _("%(person)s: not removed. You may not manage this person.")
                self.message_user(request, text % {"person": person}, messages.ERROR)
            elif remove_second_factor(person, actor=actor, now=now):
                end_sessions(open_sessions(person), actor=actor, now=now)
                text = _("%(person)s: removed. The next sign-in begins with a new second factor.")
                self.message_user(request, text % {"person": person}, messages.SUCCESS)


@admin.register(Group)
class RoleAdmin(ReadOnlyAdmin, GroupAdmin):
    """The roles are those of staff.roles: nobody widens a role in the admin."""

    def has_view_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return request.user.has_perm(MANAGE_PEOPLE) or request.user.has_perm("auth.view_group")
