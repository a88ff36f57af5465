import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from audit.actions import Action
from audit.actor import Actor
from audit.chain import plain_value
from audit.models import COVERED, AuditEntry
from audit.trail import entries_in_order, record

_COLUMNS = (*COVERED, "previous_hash", "hash")


class Command(BaseCommand):
    help = (
        "Writes the audit trail as JSON lines, oldest first, with the hashes: whoever has the file can check the"
        " chain without the database. Days are in UTC."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=date.fromisoformat, help="the first day, such as 2026-01-31")
        parser.add_argument("--until", type=date.fromisoformat, help="the last day")
        parser.add_argument(
            "--to", type=Path, help="a new file; without it the lines go to the standard output"
        )

    def handle(
        self, *args: Any, since: date | None, until: date | None, to: Path | None, **options: Any
    ) -> None:
        rows = AuditEntry.objects.all()
        if since is not None:
            rows = rows.filter(at__gte=_midnight(since))
        if until is not None:
            rows = rows.filter(at__lt=_midnight(until + timedelta(days=1)))
        with _output(to) as out:
            for entry in entries_in_order(rows):
                line = {name: plain_value(getattr(entry, name)) for name in _COLUMNS}
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
        with transaction.atomic():
            days = {"since": since and since.isoformat(), "until": until and until.isoformat()}
            actor = Actor.of_command("export_audit")
            record(Action.EXPORTED, None, actor=actor, now=timezone.now(), after=days)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


@contextmanager
def _output(path: Path | None) -> Iterator[IO[str]]:
    """A new file, readable by its owner only. Raises CommandError where the path is taken."""
    if path is None:
        yield sys.stdout
        return
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(
            f"{path} cannot be made: {error.strerror}. Give the path of a new file."
        ) from error
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        yield file
