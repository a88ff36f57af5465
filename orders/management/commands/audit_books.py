from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import override

from orders.reconciliation.audit import audit_books


class Command(BaseCommand):
    help = "Checks the rules that always hold over the whole database and prints what breaks them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, help="only orders of the last DAYS days")

    def handle(self, *args: Any, days: int | None, **options: Any) -> None:
        now = timezone.now()
        result = audit_books(now=now, since=now - timedelta(days=days) if days else None)
        with override("en"):  # like all other output of the command
            for note in result.note_texts:
                self.stdout.write(note)
        for problem in result.problems:
            self.stderr.write(problem)
        if result.problems:
            raise CommandError(f"{len(result.problems)} problems in {result.checked_orders} orders.")
        self.stdout.write(f"{result.checked_orders} orders checked, no problems.")
