from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit.actor import Actor
from exchanges.amounts import plain
from exchanges.models import Account
from orders.models import BooksGap
from orders.outside.books_gap import check_watermark
from orders.reconciliation.exchange_audit import Findings, examine_accounts, mend

_LOOK_BACK = timedelta(hours=24)


class Command(BaseCommand):
    help = (
        "Shows what the exchanges have under our order ids and the books lack, after the restore of a backup:"
        " orders without a row, fills that are not booked, and positions that differ. With --do, adopts and books it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help="only the accounts of this name")
        parser.add_argument(
            "--since",
            metavar="TIME",
            help="read the history since this time, for example 2026-11-26T09:00Z;"
            " without it, since the newest gap of the books, or for 24 hours",
        )
        parser.add_argument("--do", action="store_true", help="adopt the orders and book the fills")

    def handle(self, *args: Any, account: str | None, since: str | None, do: bool, **options: Any) -> None:
        accounts = Account.objects.active()
        if account is not None:
            accounts = accounts.filter(name=account)
            if not accounts.exists():
                raise CommandError(f"There is no active account {account}.")
        check_watermark(now=timezone.now())  # adopted orders would make the database look new
        begin = read_time(since) if since else default_begin(timezone.now())
        self.stdout.write(f"Since {begin.isoformat(timespec='seconds')}:")
        findings = examine_accounts(accounts, since=begin, clock=timezone.now)
        for found in findings:
            for line in lines_of(found):
                self.stdout.write(line)
        if do:
            adopted = mend(findings, clock=timezone.now, actor=Actor.of_command("adopt"))
            self.stdout.write(f"{len(adopted)} orders adopted.")
        elif any(found.orphans or found.missing_fills for found in findings):
            self.stdout.write("Nothing was changed. Run it again with --do to adopt.")
        if not all(found.is_answered for found in findings):
            raise CommandError("An exchange did not answer every question. Run it again.")


def read_time(text: str) -> datetime:
    """Reads a time; a time without a zone is UTC. Raises CommandError."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"--since must be a time such as 2026-11-26T09:00Z, not '{text}'.")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def default_begin(now: datetime) -> datetime:
    gap = BooksGap.objects.first()
    return gap.began_at if gap else now - _LOOK_BACK


def lines_of(found: Findings) -> Iterator[str]:
    """The findings of an account and market type, as lines for a person."""
    subject = found.subject
    yield f"{subject.account} ({subject.account.owner}, {subject.account.exchange}, {subject.market_type})"
    if not found.is_answered:
        yield "  the exchange did not answer every question"
    for orphan in found.orphans:
        report = orphan.seen.report
        owner = orphan.owner or "no strategy account: it stays external"
        yield (
            f"  order without a row: {report.client_order_id} {report.symbol} {report.side} {report.order_type}"
            f" {'?' if report.quantity is None else plain(report.quantity)}, {report.status},"
            f" filled {plain(report.filled)}; {owner}"
        )
    for missing in found.missing_fills:
        fill = missing.fill
        yield (
            f"  fill not booked: {missing.name} {fill.symbol} {fill.side} {plain(fill.quantity)}"
            f" at {plain(fill.price)}, {fill.executed_at.isoformat(timespec='seconds')}"
        )
    for order in found.unlisted:
        yield f"  open here, not at the exchange: {order.client_order_id} {order.symbol}"
    for look in found.differing:
        yield (
            f"  position of {look.key.symbol}: the exchange {plain(look.covered)}, the books"
            f" {plain(look.expected)}"
        )
