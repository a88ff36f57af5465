from django.apps import AppConfig, apps
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _

from orders.transactions import lift_time_limits, restore_time_limits
from tradehub import checks  # noqa: F401 - registers them


class TradehubConfig(AppConfig):
    name = "tradehub"
    verbose_name = _("Tradehub")

    def ready(self) -> None:
        pre_migrate.connect(_before_migrate, sender=apps.get_app_config("django_q"))
        # Sent by the app whose table it fills: an app without models sends none.
        post_migrate.connect(_after_migrate, sender=apps.get_app_config("django_q"))


def _before_migrate(using: str, **signal: object) -> None:
    """A migration takes as long as its tables are large."""
    lift_time_limits(connections[using])


def _after_migrate(using: str, **signal: object) -> None:
    # Models are not loaded yet when this module is.
    from tradehub.schedules import ensure_schedules  # noqa: PLC0415

    restore_time_limits(connections[using])
    ensure_schedules()
