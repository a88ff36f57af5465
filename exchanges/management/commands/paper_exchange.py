"""`manage.py paper_exchange` runs a local exchange with Binance's REST API, without keys or money."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchanges.paper.server import CannotStart, serve


class Command(BaseCommand):
    help = "Serve the paper exchange (Binance Spot and USDT-margined futures REST) on a loopback port."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
        parser.add_argument("--port", type=int, default=5002)
        parser.add_argument(
            "--state", default="var/paper.sqlite3", help="the SQLite file that keeps the ledger"
        )
        parser.add_argument("--latency-ms", type=int, default=0, help="wait before each signed request")
        parser.add_argument(
            "--weight-limit", type=int, default=0, help="request weight per minute; 0 is no limit"
        )
        parser.add_argument("--tls-cert", default=None)
        parser.add_argument("--tls-key", default=None)

    def handle(self, *args: Any, **options: Any) -> None:
        names = ("host", "port", "state", "latency_ms", "weight_limit", "tls_cert", "tls_key")
        try:
            serve(**{name: options[name] for name in names}, say=self._say)
        except CannotStart as error:
            raise CommandError(str(error)) from error

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
