"""tradehub as a contender: the web server of `manage.py serve`, and an alert from HTTP request to HTTP answer."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException, HTTPSConnection  # noqa: TID251 - to our own server
from itertools import count
from pathlib import Path
from typing import Any

from fanout.contenders.turns import ROOT, Sample
from fanout.kinds import ORDERS, Kind, alert_fields, strategy_name

START_S = 60
alerts = count(1)


class Hub:
    """A fresh web process. A fan-out is an alert with `token` for `strategy`, which has `accounts` accounts.

    `core` pins the server, and all that it starts, to one processor core. `settings` are environment variables.
    """

    def __init__(
        self,
        *,
        strategy: str,
        token: str,
        accounts: int,
        core: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.strategy, self.token, self.accounts = strategy, token, accounts
        self.metrics: dict[Kind, list[dict[str, float]]] = defaultdict(list)
        self.port = free_port()
        self.process = subprocess.Popen(
            [*([] if core is None else ["taskset", "-c", str(core)]), sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env=os.environ | {"WEB_PORT": str(self.port)} | dict(settings or {}),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        self.connection = HTTPSConnection(
            "127.0.0.1",
            self.port,
            timeout=120,
            context=ssl.create_default_context(cafile=os.environ["TLS_CERT"]),
        )

    def wait_until_ready(self) -> None:
        self.connect()

    def connect(self) -> None:
        """Waits for the server. Called before each alert too, because the server closes idle connections after 10 s."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError, HTTPException):
                self.connection.request("GET", "/api/health")
                if json.load(self.connection.getresponse())["status"] == "ok":
                    return
            self.connection.close()
            time.sleep(0.1)
        raise SystemExit("The web server does not answer.")

    def reconnect(self) -> None:
        """Connects anew and asks nothing: the next alert is the first request for the server after a rest."""
        self.connection.close()
        self.connection.connect()

    def fan_out(self, kind: Kind = Kind.LIMIT) -> Sample:
        self.connect()
        return self.deliver(kind)

    def deliver(self, kind: Kind = Kind.LIMIT) -> Sample:
        """Sends an alert, waits for the answer, and insists on an order in the wanted state for every account."""
        wall, cpu = time.perf_counter(), self.cpu_s()
        body = self.send_alert(kind)
        sample = Sample((time.perf_counter() - wall) * 1000, (self.cpu_s() - cpu) * 1000)
        answer = json.loads(body)
        self.check_answer(answer, kind)
        self.metrics[kind].append(answer["performance_metrics"])
        return sample

    def check_answer(self, answer: dict[str, Any], kind: Kind) -> None:
        wanted = "filled" if kind in (Kind.MARKET, Kind.EXIT) else "accepted"
        states = [result.get("order_status") for result in answer.get("results", [])]
        if states != [wanted] * (self.accounts * len(ORDERS[kind])):
            told = answer.get("summary") or answer
            raise SystemExit(
                f"Not every order is {wanted}: {told}, order states {sorted(set(map(str, states)))}"
            )

    def send_alert(self, kind: Kind = Kind.LIMIT) -> bytes:
        alert = {
            "group_name": strategy_name(self.strategy, kind),
            "token": self.token,
            "id": f"fanout-{next(alerts)}",
            **alert_fields(kind),
        }
        body = json.dumps(alert).encode()
        self.connection.request("POST", "/api/webhook", body, {"Content-Type": "application/json"})
        return self.connection.getresponse().read()

    def cpu_s(self) -> float:
        return sum(cpu_time_s(pid) for pid in (self.process.pid, *child_pids(self.process.pid)))

    def rss_kb(self) -> int:
        """The resident memory of the server's processes."""
        return sum(resident_kb(pid) for pid in (self.process.pid, *child_pids(self.process.pid)))

    def close(self) -> None:
        self.connection.close()
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def cpu_time_s(pid: int) -> float:
    """Returns a process's CPU time, to the nanosecond: Linux derives the id of the CPU clock from the process id."""
    return time.clock_gettime(~pid << 3 | 2)


def resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def child_pids(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
