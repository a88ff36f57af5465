from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from tradehub import checks  # noqa: F401 - registers them


class TradehubConfig(AppConfig):
    name = "tradehub"
    verbose_name = _("Tradehub")

    def ready(self) -> None:
        # Sent by the app whose table it fills: an app without models sends none.
        post_migrate.connect(_after_migrate, sender=apps.get_app_config("django_q"))


def _after_migrate(**signal: object) -> None:
    # Models are not loaded yet when this module is.
    from tradehub.schedules import ensure_schedules  # noqa: PLC0415

    ensure_schedules()
