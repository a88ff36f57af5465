import logging
import signal
import threading
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from orders.reconciliation.tracker import Tracker

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Finishes what a crash left, settles unknown outcomes and follows open orders, until it is stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="do everything that can be done now, then exit"
        )

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        tracker = Tracker(clock=timezone.now)
        if once:
            tracker.pass_once()
            return
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        self.stdout.write("Tracking orders.")
        while not stop.is_set():
            close_old_connections()
            try:
                tracker.step(for_s=settings.TRACK_INTERVAL_S)
            except DatabaseError:
                logger.exception("the database did not answer; trying again")
                tracker.forget_calls()
                stop.wait(settings.TRACK_INTERVAL_S)
        with suppress(DatabaseError):  # the others notice by themselves, a little later
            tracker.leave()
