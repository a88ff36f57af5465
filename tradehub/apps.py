from django.apps import AppConfig, apps
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _

from orders.transactions import lift_time_limits, restore_time_limits
from tradehub import checks  # noqa: F401 - the import registers the checks


class TradehubConfig(AppConfig):
    name = "tradehub"
    verbose_name = _("Tradehub")

    def ready(self) -> None:
        pre_migrate.connect(_before_migrate, sender=apps.get_app_config("django_q"))
        # The signal's sender is django_q, which owns the table of schedules: an app without models sends no signal.
        post_migrate.connect(_after_migrate, sender=apps.get_app_config("django_q"))


def _before_migrate(using: str, **signal: object) -> None:
    """Lifts the time limits, because a migration of large tables takes long."""
    lift_time_limits(connections[using])


def _after_migrate(using: str, **signal: object) -> None:
    # Models are not loaded yet when Django imports this module.
    from tradehub.schedules import ensure_schedules  # noqa: PLC0415

    restore_time_limits(connections[using])
    ensure_schedules()
