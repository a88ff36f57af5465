"""tradehub as a contender: the web server of `manage.py serve`, and an alert from HTTP request to HTTP answer."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPException, HTTPSConnection  # noqa: TID251 - to our own server
from itertools import count
from pathlib import Path
from typing import Any

from fanout.turns import ROOT, Sample

START_S = 60
alerts = count(1)


class Hub:
    """A fresh web process. A fan-out is an alert with `token` for `strategy`, which has `accounts` accounts."""

    def __init__(self, *, strategy: str, token: str, accounts: int) -> None:
        self.strategy, self.token, self.accounts = strategy, token, accounts
        self.metrics: list[dict[str, float]] = []
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env=os.environ | {"WEB_PORT": str(self.port)},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        self.connection = HTTPSConnection(
            "127.0.0.1",
            self.port,
            timeout=120,
            context=ssl.create_default_context(cafile=os.environ["TLS_CERT"]),
        )
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

    def fan_out(self) -> Sample:
        self.connect()
        return self.deliver()

    def deliver(self) -> Sample:
        """Sends an alert, waits for the answer, and insists on an accepted order for every account."""
        wall, cpu = time.perf_counter(), self.cpu_s()
        answer = self.send_alert()
        sample = Sample((time.perf_counter() - wall) * 1000, (self.cpu_s() - cpu) * 1000)
        if answer.get("summary", {}).get("successful_trades") != self.accounts:
            raise SystemExit(f"Not every order was accepted: {answer.get('summary') or answer}")
        self.metrics.append(answer["performance_metrics"])
        return sample

    def send_alert(self) -> dict[str, Any]:
        alert = {
            "group_name": self.strategy,
            "token": self.token,
            "symbol": "BTC/USDT:USDT",
            "side": "buy",
            "order_type": "LIMIT",
            "price": "90000",
            "qty_per": 5,
            "id": f"fanout-{next(alerts)}",
        }
        self.connection.request(
            "POST", "/api/webhook", json.dumps(alert).encode(), {"Content-Type": "application/json"}
        )
        answer: dict[str, Any] = json.load(self.connection.getresponse())
        return answer

    def cpu_s(self) -> float:
        return sum(cpu_time_s(pid) for pid in (self.process.pid, *child_pids(self.process.pid)))

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


def child_pids(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
