from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from exchanges.failpoints import failpoint
from exchanges.vault import CredentialsUnreadable
from staff.sealing import SealBroken


class Command(BaseCommand):
    help = (
        "Encrypts all stored secrets with the first key of CREDENTIAL_KEYS, and binds each to its place. Put the new "
        "key first, run this, then remove the old key. May be stopped and run again at any time."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable = []
        for model in apps.get_models():
            if hasattr(model, "refresh_seal"):
                unreadable += self.rotate(model)
        if unreadable:
            raise CommandError(
                f"Decrypt with none of CREDENTIAL_KEYS, or belong elsewhere: {', '.join(unreadable)}. Restore the "
                "missing key, or enter these secrets again in the admin."
            )

    def rotate(self, model: Any) -> list[str]:
        """Encrypts all secrets of a model again. Returns the names of the unreadable rows."""
        unreadable, count = [], 0
        with transaction.atomic():  # before the first row: a run that is stopped is on record, too
            now, after = timezone.now(), {"rows": model._meta.label_lower}
            actor = Actor.of_command("rotate_credentials")
            record(Action.CREDENTIALS_ROTATED, None, actor=actor, now=now, after=after)
        for row in model.objects.sealed().iterator():
            try:
                row.refresh_seal()
                failpoint("credentials partly re-encrypted")
                count += 1
            except (CredentialsUnreadable, SealBroken):
                unreadable.append(f"{model._meta.model_name} {row.pk}")
        self.stdout.write(f"{count} {model._meta.model_name} rows encrypted with the first key.")
        return unreadable
