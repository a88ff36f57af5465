from django.apps import AppConfig, apps
from django.core.management.base import CommandError
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _

from orders.transactions import lift_time_limits, restore_time_limits
from tradehub import checks  # noqa: F401 - the import registers the checks

# The first migrations were squashed to one per app for 0.1.0, under the same name.
BEFORE_0_1_0 = ("orders", "0002_events_are_append_only")


class TradehubConfig(AppConfig):
    name = "tradehub"
    verbose_name = _("Tradehub")

    def ready(self) -> None:
        # The models of django_q and of ours are not loaded yet when Django imports this module.
        from tradehub.http.sign_ins import listen  # noqa: PLC0415
        from tradehub.worker.rows import make_rows_harmless  # noqa: PLC0415

        make_rows_harmless()
        listen()
        pre_migrate.connect(_before_migrate, sender=apps.get_app_config("django_q"))
        # The signal's sender is django_q, which owns the table of schedules: an app without models sends no signal.
        post_migrate.connect(_after_migrate, sender=apps.get_app_config("django_q"))
        # The last app with models: all permissions exist by then.
        post_migrate.connect(_after_permissions, sender=apps.get_app_config("webhooks"))


def _before_migrate(using: str, **signal: object) -> None:
    """Refuses a database from before 0.1.0, and lifts the time limits: a migration of large tables takes long."""
    applied = MigrationRecorder(connections[using]).applied_migrations()
    if BEFORE_0_1_0 in applied:
        raise CommandError(
            "This database was made before release 0.1.0, and no migration leads on from there."
            " Move the database away (the demo's is in var/), and run migrate for a new database."
        )
    lift_time_limits(connections[using])


def _after_migrate(using: str, **signal: object) -> None:
    # Models are not loaded yet when Django imports this module.
    from tradehub.schedules import ensure_schedules  # noqa: PLC0415

    restore_time_limits(connections[using])
    ensure_schedules()


def _after_permissions(**signal: object) -> None:
    # Models are not loaded yet when Django imports this module.
    from staff.roles import ensure_roles  # noqa: PLC0415
    from strategies.models import SystemRisk  # noqa: PLC0415

    ensure_roles()
    SystemRisk.objects.get_or_create(pk=1)  # looking at a page writes no row
