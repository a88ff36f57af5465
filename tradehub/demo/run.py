"""Runs the demo: from an empty database to a running product with an answered first alert."""

import json
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from tradehub.demo.access import Access, read_access, write_access
from tradehub.demo.client import Address
from tradehub.demo.processes import Children, without_secrets
from tradehub.demo.seed import demo_credentials, seed_demo

BALANCES = {"USDT": "50000000"}
START_S = 60
ALERT = {
    "group_name": "test1",
    "symbol": "BTC/USDT",
    "order_type": "LIMIT",
    "side": "buy",
    "price": "90000",
    "qty_per": 5,
}


class PortTaken(Exception):
    """Another program listens at a port of the demo. The text names the port and a remedy."""


class Stopped(BaseException):
    """SIGINT or SIGTERM."""


@dataclass
class Demo:
    say: Callable[[str], Any]
    access_path: Path = settings.BASE_DIR / "var/demo.json"
    log_folder: Path = settings.BASE_DIR / "var/log"

    def __post_init__(self) -> None:
        self.web = Address("https", settings.WEB_HOST, settings.WEB_PORT)
        self.paper = Address.of(settings.PAPER_EXCHANGE_URL)
        self.children = Children(self.log_folder)

    def run(self) -> None:
        """Runs until SIGINT or SIGTERM, and leaves no process behind. Raises PortTaken, ChildDied, TimeoutError."""
        self.check_ports()
        with signals_raise_stopped():
            try:
                self.start()
                while True:
                    self.children.check()
                    time.sleep(0.5)
            except Stopped:
                self.say("==> Stopping")
            finally:
                ignore_signals()
                self.children.stop()

    def start(self) -> None:
        self.say("==> Preparing the database")
        call_command("migrate", verbosity=0, interactive=False)
        self.say(f"==> Starting the paper exchange on port {self.paper.port}")
        self.children.start(
            "paper exchange",
            "paper_exchange",
            f"--host={self.paper.host}",
            f"--port={self.paper.port}",
            environment=without_secrets(),
        )
        self.children.wait_until(
            lambda: self.paper.answers("/__paper__/prices"), limit_s=START_S, what="The paper exchange"
        )
        self.say("==> Seeding users, accounts and strategies")
        access = seed_demo(
            before=read_access(self.access_path), url=f"https://localhost:{self.web.port}", now=timezone.now()
        )
        self.open_paper_accounts()
        connection.close()
        self.say(f"==> Starting web on port {self.web.port}, worker and tracker")
        self.children.start("tracker", "track_orders")
        self.children.start("worker", "qcluster")
        self.children.start("web server", "serve")
        self.children.wait_until(
            lambda: self.web.answers("/api/health"), limit_s=START_S, what="The web server"
        )
        write_access(self.access_path, access)
        self.say("==> Sending the first alert: 5 % of the capital, BTC/USDT, limit 90000")
        _, answer = self.web.call("POST", "/api/webhook", ALERT | {"token": access.token})
        self.say(json.dumps(answer, indent=2, ensure_ascii=False))
        self.say(usage_text(access, self.access_path))

    def check_ports(self) -> None:
        for what, address, variable in [
            ("web server", self.web, "WEB_PORT"),
            ("paper exchange", self.paper, "PAPER_EXCHANGE_URL"),
        ]:
            if not address.is_free():
                raise PortTaken(
                    f"Port {address.port} is in use, and the {what} needs it. Stop what listens there "
                    f"(perhaps another ./script/demo), or set {variable} in .env."
                )

    def open_paper_accounts(self) -> None:
        for credentials in demo_credentials():
            body = {"api_key": credentials.api_key, "secret": credentials.secret, "balances": BALANCES}
            status, answer = self.paper.call("POST", "/__paper__/accounts", body)
            if status != 200:
                raise RuntimeError(f"The paper exchange opened no account: {answer}")


def usage_text(access: Access, access_path: Path) -> str:
    alert = json.dumps(ALERT | {"token": access.token})
    return f"""
The product is up; the certificate is self-signed, so the browser will warn once.
  Admin   {access.url}/admin/   user {access.admin_user}   password {access.admin_password}
{second_factor_text()}  Alert   curl -k -s {access.url}/api/webhook -H 'Content-Type: application/json' -d '{alert}'
  Keys    {access_path}
Ctrl-C stops it."""


def second_factor_text() -> str:
    if not settings.STAFF_SECOND_FACTOR:
        return ""
    return "          asks for a second factor; STAFF_SECOND_FACTOR=false in .env is enough for a demo\n"


def raise_stopped(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped


@contextmanager
def signals_raise_stopped() -> Any:
    before = {number: signal.signal(number, raise_stopped) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
