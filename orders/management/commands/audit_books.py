from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import override

from orders.reconciliation.audit import audit_books
from orders.reconciliation.exchange_audit import audit_exchanges


class Command(BaseCommand):
    help = (
        "Checks the rules that always hold over the whole database, and compares every active account with its"
        " exchange. Prints what breaks a rule, and what differs; repairs nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, help="only orders of the last DAYS days")
        parser.add_argument(
            "--no-exchanges", action="store_true", help="ask no exchange: check the database only"
        )

    def handle(self, *args: Any, days: int | None, no_exchanges: bool, **options: Any) -> None:
        now = timezone.now()
        problems, is_answered = ([], True) if no_exchanges else audit_exchanges(clock=timezone.now)
        result = audit_books(
            now=now,
            since=now - timedelta(days=days) if days else None,
            at_exchanges=problems,
            notes=[] if is_answered else ["exchange_unread"],
        )
        with override("en"):  # like all other output of the command
            for note in result.note_texts:
                self.stdout.write(note)
        for problem in result.problems:
            self.stderr.write(problem)
        if result.problems:
            raise CommandError(f"{len(result.problems)} problems in {result.checked_orders} orders.")
        self.stdout.write(f"{result.checked_orders} orders checked, no problems.")
