from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.anchor import parse_anchor
from audit.trail import verify_trail


def _anchor(text: str) -> tuple[int, str]:
    try:
        return parse_anchor(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


class Command(BaseCommand):
    help = (
        "Checks that no entry of the audit trail is missing or changed. Prints the newest entry as an anchor; keep"
        " the anchor outside of the database, and give the anchor to a later check."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--anchor", type=_anchor, help="NUMBER:HASH, printed by an earlier check")

    def handle(self, *args: Any, anchor: tuple[int, str] | None, **options: Any) -> None:
        verdict = verify_trail(anchor=anchor)
        for problem in verdict.problems:
            self.stderr.write(problem)
        if verdict.problems:
            raise CommandError("The audit trail is not whole. Compare it with a backup, and keep both.")
        self.stdout.write(
            f"{verdict.number} entries, none missing or changed. Anchor: {verdict.number}:{verdict.hash}"
        )
