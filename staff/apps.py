from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.utils.translation import gettext_lazy as _


class StaffAdminConfig(admin_apps.AdminConfig):
    """Django's admin with the site of this app."""

    default = False
    default_site = "staff.site.StaffSite"


class StaffConfig(AppConfig):
    default = True
    name = "staff"
    verbose_name = _("Staff")

    def ready(self) -> None:
        # Models are not loaded yet when Django imports this module.
        from staff.sign_in.sessions import on_signed_in, on_signed_out  # noqa: PLC0415

        user_logged_in.connect(on_signed_in, dispatch_uid="staff session begins")
        user_logged_out.connect(on_signed_out, dispatch_uid="staff session ends")
