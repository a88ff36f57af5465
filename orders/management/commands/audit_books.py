from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import override

from orders.pace import pace_of
from orders.reconciliation.audit import audit_books
from orders.reconciliation.exchange_audit import audit_exchanges


class Command(BaseCommand):
    help = (
        "Checks the rules that always hold over the whole database, and compares every active account with its"
        " exchange. Prints what breaks a rule, and what differs; repairs nothing. Reads in portions, and rests after"
        " each portion, so that trading goes on beside the check."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, help="only orders of the last DAYS days")
        parser.add_argument(
            "--no-exchanges", action="store_true", help="ask no exchange: check the database only"
        )
        parser.add_argument(
            "--load",
            type=int,
            default=50,
            help="percent of the time at work, 1 to 100; the rest is spent waiting (default: 50)",
        )

    def handle(self, *args: Any, days: int | None, no_exchanges: bool, load: int, **options: Any) -> None:
        if not 1 <= load <= 100:
            raise CommandError("--load is a percentage from 1 to 100.")
        now = timezone.now()
        problems, is_answered = ([], True) if no_exchanges else audit_exchanges(clock=timezone.now)
        result = audit_books(
            now=now,
            since=now - timedelta(days=days) if days else None,
            at_exchanges=problems,
            notes=[] if is_answered else ["exchange_unread"],
            pace=pace_of(load),
        )
        with override("en"):  # like all other output of the command
            for note in result.note_texts:
                self.stdout.write(note)
        for problem in result.problems:
            self.stderr.write(problem)
        if result.problems:
            raise CommandError(f"{len(result.problems)} problems in {result.checked_orders} orders.")
        self.stdout.write(f"{result.checked_orders} orders checked, no problems.")
