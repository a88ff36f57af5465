from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from audit.actor import Actor
from staff.sign_in.second_factor import remove_second_factor
from staff.sign_in.sessions import end_sessions, open_sessions


class Command(BaseCommand):
    help = (
        "Removes a person's second factor and recovery codes, and ends the person's sessions. The person sets up a new"
        " second factor at the next sign-in. Make sure who asks for this: a password alone opens the admin until then."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the name with which the person signs in")
        parser.add_argument("--reason", required=True, help="kept in the audit trail")

    @transaction.atomic
    def handle(self, *args: Any, name: str, reason: str, **options: Any) -> None:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"Nobody signs in as '{name}'.")
        actor, now = Actor.of_service("manage.py remove_second_factor"), timezone.now()
        if not remove_second_factor(user, actor=actor, now=now, reason=reason):
            raise CommandError(f"'{name}' has no second factor.")
        end_sessions(open_sessions(user), actor=actor, now=now, reason=reason)
        self.stdout.write(
            f"'{name}' has no second factor any more, and sets up a new one at the next sign-in."
        )
