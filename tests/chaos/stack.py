"""The product as processes on loopback, with a paper exchange beside it: started, killed, asked, and cleared away."""

import http.client
import itertools
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from exchanges.paper.testing import PaperControl
from tests.chaos.databases import free_port
from tests.failpoints import armed
from tests.waiting import LONG_S, eventually

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
BTC = {"symbol": "BTC/USDT"}
LIMIT = {**BTC, "side": "buy", "order_type": "LIMIT", "price": "90000", "qty_per": 5}
MARKET = {**BTC, "side": "buy", "order_type": "MARKET", "qty_per": 5}
CANCEL_ALL = {"order_type": "CANCEL_ALL_ORDER"}
PATIENT = {"WEBHOOK_ANSWER_BUDGET_MS": 60_000}  # an answer waits for its orders, however busy the machine is
TIMES_SENT = 40
ORDER_PATHS = ("/fapi/v1/order", "/fapi/v1/algoOrder", "/api/v3/order")


@dataclass(frozen=True)
class Answer:
    status: int
    body: Json


@dataclass(frozen=True)
class Desk:
    """One strategy with its accounts' keys at the exchange."""

    name: str
    token: str = field(repr=False)
    keys: list[str]

    def alert(self, *parts: Json, **fields: Any) -> Json:
        alert: Json = {"group_name": self.name, "token": self.token}
        for part in (*parts, fields):
            alert |= part
        return alert


@dataclass
class Process:
    pid: int
    port: int = 0


@dataclass
class ProductServer:
    process: subprocess.Popen[bytes]
    port: int


class Stack:
    """One database, one paper exchange, and as many web servers and trackers as a test wants."""

    def __init__(
        self, database_url: str, *, horizon_s: int = 8, timeout_s: int = 3, **environment: str
    ) -> None:
        self.database_url = database_url
        self.paper_port, self.web_port = free_port(), free_port()
        self.paper = PaperControl(f"http://127.0.0.1:{self.paper_port}")
        self.environment = {
            "DJANGO_SETTINGS_MODULE": "tests.process_settings",
            "TEST_DATABASE_URL": database_url,
            "TEST_ABSENCE_HORIZON_S": str(horizon_s),
            "EXCHANGE_TIMEOUT_S": str(timeout_s),
            "TRACK_INTERVAL_S": "1",
            "ORDER_MAX_WAIT_S": "600",  # an entry that waits for a busy machine is not late
            "PAPER_EXCHANGE_URL": self.paper.url,
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self.folder = tempfile.TemporaryDirectory(prefix="tradehub-stack.")
        self.log = Path(self.folder.name) / "log"
        self.running: dict[str, Process] = {}
        self._answered: list[Json] = []  # the log of requests up to the first one that is still pending

    def __enter__(self) -> Self:
        self._log_file = self.log.open("ab")
        self.zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote"],
            cwd=ROOT,
            env=os.environ | self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log_file,
            start_new_session=True,
            text=True,
        )
        try:
            self._read()
            self.start("exchange", port=self.paper_port, state=f"{self.folder.name}/paper.sqlite3")
            self.wait_for_port(self.paper_port)
            self.call("migrate")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(f"--- log of the stack\n{self.tail()}\n")
        with suppress(ProcessLookupError):
            os.killpg(self.zygote.pid, signal.SIGKILL)
        self.zygote.wait()
        for pipe in (self.zygote.stdin, self.zygote.stdout):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
        self._log_file.close()
        self.folder.cleanup()

    def tail(self, characters: int = 6000) -> str:
        return self.log.read_text(errors="replace")[-characters:]

    # Processes

    def start(
        self,
        kind: str,
        *,
        name: str = "",
        failpoints: str = "",
        settings: Json | None = None,
        **arguments: Any,
    ) -> Process:
        """Forks a server that has everything imported already."""
        asked = {
            "start": kind,
            "arguments": arguments,
            "failpoints": armed(failpoints),
            "settings": settings or {},
        }
        process = Process(self._ask(asked)["pid"], arguments.get("port", 0))
        self.running[name or kind] = process
        return process

    def start_web(self, failpoints: str = "", *, name: str = "web", settings: Json | None = None) -> Process:
        """A server that is to die somewhere is patient: it must not answer before it comes to that place."""
        settings = PATIENT if failpoints and settings is None else settings
        port = self.web_port if name == "web" else free_port()
        process = self.start("web", name=name, failpoints=failpoints, settings=settings, port=port)
        self.wait_for_port(port)
        return process

    def start_tracker(self, failpoints: str = "", *, name: str = "tracker") -> Process:
        return self.start("tracker", name=name, failpoints=failpoints)

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Kills it and waits until it is gone. SIGKILL takes its own children along."""
        process = self.running.pop(name, None)
        if process is not None:
            with_children = how == signal.SIGKILL and Path(f"/proc/{process.pid}").exists()
            for pid in [process.pid, *(descendants(process.pid) if with_children else [])]:
                with suppress(ProcessLookupError):
                    os.kill(pid, how)
            self.wait_until_dead(process)

    def wait_until_dead(self, process: Process, within_s: float = LONG_S) -> int:
        """Its wait status."""
        got = eventually(
            lambda: [code] if (code := self._ask({"ended": process.pid})["code"]) is not None else None,
            within_s=within_s,
            what=f"process {process.pid} ends",
            every_s=0.01,
        )
        return got[0]

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.running[name].pid, number)

    def is_stopped(self, process: Process) -> bool:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def wait_for_port(self, port: int) -> None:
        eventually(lambda: _listens(port), what=f"port {port} answers", every_s=0.005)

    @contextmanager
    def product_server(self, **environment: str) -> Iterator["ProductServer"]:
        """The web server as `manage.py serve` starts it: TLS, a parent process, workers of its own."""
        port = free_port()
        more = {"WEB_PORT": str(port)} | {f"TLS_{n}": f"{self.folder.name}/{n}.pem" for n in ("CERT", "KEY")}
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env=os.environ | self.environment | more | environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log_file,
            stderr=self._log_file,
            start_new_session=True,
        )
        try:
            self.wait_for_port(port)
            yield ProductServer(process, port)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    # Traffic

    def seed(self, *desks: Json) -> list[Desk]:
        rows = self.call("seed", desks=list(desks))
        for row in rows:
            for key, secret in row["keys"]:
                self.paper.open_account(key, secret)
        return [Desk(row["name"], row["token"], [key for key, _ in row["keys"]]) for row in rows]

    def deliver(self, alert: Json | bytes, **how: Any) -> Answer | None:
        """Sends like TradingView: what could not be stored (503) is sent again, the same body, a few times.

        None when the connection broke before an answer came.
        """
        for _ in range(TIMES_SENT):
            answer = self.send(alert, **how)
            if answer is None or answer.status != 503:
                break
            time.sleep(0.2)
        return answer

    def send(
        self, alert: Json | bytes, *, port: int = 0, timeout_s: float = 60, is_tls: bool = False
    ) -> Answer | None:
        """As `deliver`, but once."""
        body = alert if isinstance(alert, bytes) else json.dumps(alert).encode()
        address = ("127.0.0.1", port or self.web_port)
        connection = (
            http.client.HTTPSConnection(*address, timeout=timeout_s, context=ssl._create_unverified_context())
            if is_tls
            else http.client.HTTPConnection(*address, timeout=timeout_s)
        )
        try:
            connection.request("POST", "/api/webhook", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read() or b"{}"))
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def send_and_leave(self, alert: Json, *, port: int = 0) -> http.client.HTTPConnection:
        """Sends without reading the answer. Close what it returns."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.web_port, timeout=60)
        connection.request("POST", "/api/webhook", json.dumps(alert).encode())
        return connection

    def posts(self, key: str, *, method: str = "POST") -> list[Json]:
        """Order requests that the exchange saw from an account, whatever became of them."""
        return [
            row
            for row in self._requests()
            if row["api_key"] == key and row["method"] == method and row["path"] in ORDER_PATHS
        ]

    def _requests(self) -> list[Json]:
        """The exchange's log. What is answered in it is fetched once: tests ask often, and the log is long."""
        fresh = self.paper.requests(since=len(self._answered))
        log = [*self._answered, *fresh]
        self._answered += itertools.takewhile(lambda row: row["outcome"] != "pending", fresh)
        return log

    # Questions

    def call(self, name: str, **arguments: Any) -> Any:
        """Runs a function of tests.chaos.inside."""
        return self._ask({"call": name, "arguments": arguments})["value"]

    def wait_until_decided(self, within_s: float = 2 * LONG_S) -> None:
        state: Json = {}

        def is_decided() -> bool:
            state.update(self.call("undecided"))
            return not state["batches"] and not state["orders"]

        try:
            eventually(is_decided, within_s=within_s, what="everything is decided", every_s=0.3)
        except TimeoutError as error:
            raise AssertionError(f"still undecided after {within_s} s: {state}") from error

    def _ask(self, asked: Json) -> Json:
        assert self.zygote.stdin is not None
        self.zygote.stdin.write(json.dumps(asked) + "\n")
        self.zygote.stdin.flush()
        return self._read()

    def _read(self) -> Json:
        assert self.zygote.stdout is not None
        line = self.zygote.stdout.readline()
        if not line:
            raise RuntimeError(f"the zygote is gone:\n{self.tail()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{answer['error']}\n{self.tail()}")
        return answer


def _listens(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(below for child in children for below in descendants(child))]
