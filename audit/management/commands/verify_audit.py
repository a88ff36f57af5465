import re
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.trail import verify_trail

_ANCHOR = re.compile(r"(\d{1,18}):([0-9a-f]{64})")


def _anchor(text: str) -> tuple[int, str]:
    found = _ANCHOR.fullmatch(text)
    if found is None:
        raise ArgumentTypeError(
            "An anchor is a number, a colon and 64 hexadecimal digits, as this command prints."
        )
    return int(found[1]), found[2]


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
