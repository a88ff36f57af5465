from argparse import ArgumentParser
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_date

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from orders.archive import AT_LEAST, BadArchive, delete_events, event_lines, read_archive, write_archive
from orders.pace import pace_of
from orders.transactions import no_time_limits
from webhooks.tasks import delete_deliveries, delivery_lines


class Command(BaseCommand):
    help = (
        "Moves the deliveries, and the events of orders that are over, from before a day into a file: writes and checks"
        " the file first, then deletes what the file holds. Orders, trades and adjustments stay. Interrupted, the same"
        " command goes on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--before", required=True, metavar="DAY", help="for example 2025-01-01 (UTC)")
        parser.add_argument("--to", required=True, metavar="FILE", help="for example 2024.jsonl.gz")
        parser.add_argument(
            "--load", type=int, default=50, help="percent of the time at work, 1 to 100 (default: 50)"
        )

    def handle(self, *args: Any, before: str, to: str, load: int, **options: Any) -> None:
        moment, path = _moment_of(before), Path(to)
        if moment > timezone.now() - AT_LEAST:
            raise CommandError(f"Rows stay in the database for {AT_LEAST.days} days: name an earlier day.")
        with no_time_limits():
            try:
                if not path.exists():
                    write_archive(path, moment, chain(event_lines(moment), delivery_lines(moment)))
                kept = sum(1 for _line in read_archive(path, moment))
            except BadArchive as error:
                raise CommandError(
                    f"{error} is no complete archive of before {before}. Nothing was deleted."
                ) from error
            _record_deletion(path, before, kept)
            events = delete_events(read_archive(path, moment), pace=pace_of(load))
            deliveries = delete_deliveries(read_archive(path, moment), before=moment, pace=pace_of(load))
        self.stdout.write(f"{path}: {kept} lines. Deleted: {events} events, {deliveries} deliveries.")


def _record_deletion(path: Path, before: str, lines: int) -> None:
    """Stands in the trail before the first row is deleted: a run that is stopped is on record, too."""
    with transaction.atomic():
        record(
            Action.ROW_DELETED,
            None,
            actor=Actor.of_command("archive"),
            now=timezone.now(),
            after={"file": path.name, "received_before": before, "lines": lines},
            reason="archived",
        )


def _moment_of(text: str) -> datetime:
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None:
        raise CommandError(f"{text} is no day. Write it as 2025-01-01.")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
