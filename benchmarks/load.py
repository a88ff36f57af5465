"""Measures many alerts at a time: throughput, a burst, and what one owner's flood costs another owner.

    pip install -r requirements.txt
    python benchmarks/load.py [throughput] [refusals] [burst] [flood] [hung] [unfinished] [silent] [--seconds S]

One web process of `manage.py serve` on PostgreSQL, the exchange of benchmarks/fanout.py (50 ms an answer) and the
senders
share the machine. Milliseconds say something about the machine and the hour: compare the lines of one run, and two
versions only in runs that follow one another. docs/benchmarks.md has the method and the results. Linux only.
"""

import argparse
import importlib
import json
import os
import socket
import ssl
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPException, HTTPSConnection  # noqa: TID251 - to our own server
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from fanout.contenders.hub import Hub
from fanout.measures.slow_account import LIMIT_S
from fanout.surroundings import surroundings

SENDERS = 8
STRATEGIES = 60
BURST = 200
BUDGET_MS = "2500"
FLOOD_LEGS, FLOOD_ACCOUNTS, FLOOD_SENDERS = 30, 30, 2
HUNG_ALERTS = 100
UNFINISHED, SILENT, ADDRESSES = 1_100, 2_000, 20
HEAD = b"POST /api/webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"

names = count(1)
Json = dict[str, Any]


class Sender:
    """A client with a connection of its own. `send` returns the seconds until the whole answer, and the answer."""

    def __init__(self, hub: Hub) -> None:
        self.connection = HTTPSConnection(
            "127.0.0.1",
            hub.port,
            timeout=120,
            context=ssl.create_default_context(cafile=os.environ["TLS_CERT"]),
        )

    def send(self, alert: Json) -> tuple[float, int, Json]:
        began = time.perf_counter()
        for _ in range(2):  # the server closes idle connections
            with suppress(HTTPException, OSError):
                self.connection.request("POST", "/api/webhook", json.dumps(alert).encode())
                response = self.connection.getresponse()
                answer: Json = json.load(response)
                return time.perf_counter() - began, response.status, answer
            self.connection.close()
        raise SystemExit("The web server does not answer.")


def alert_for(strategy: str, token: str, **fields: Any) -> Json:
    alert = {
        "group_name": strategy,
        "token": token,
        "symbol": "BTC/USDT:USDT",
        "side": "buy",
        "order_type": "LIMIT",
        "price": "90000",
        "qty_per": 5,
        "id": f"load-{next(names)}",
    }
    return alert | fields


def milliseconds(times: list[float]) -> Json:
    cuts = statistics.quantiles(times, n=100)
    return {"p50": round(cuts[49] * 1000), "p99": round(cuts[98] * 1000), "max": round(max(times) * 1000)}


def at_once(senders: int, hub: Hub, act: Callable[[Sender, int], None]) -> None:
    with ThreadPoolExecutor(senders) as pool:
        for future in [pool.submit(act, Sender(hub), number) for number in range(senders)]:
            future.result()


def measure_throughput(hub: Hub, make: Callable[[int], Json], *, seconds: float, wanted: int) -> Json:
    times: list[float] = []

    def send_on(sender: Sender, number: int) -> None:
        sender.send(make(number))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            took, status, answer = sender.send(make(number))
            if status != wanted:
                raise SystemExit(f"HTTP {status}: {answer}")
            times.append(took)

    cpu = hub.cpu_s()
    at_once(SENDERS, hub, send_on)
    return {
        "a second": round(len(times) / seconds, 1),
        "cpu ms each": round((hub.cpu_s() - cpu) * 1000 / len(times), 2),
        **milliseconds(times),
    }


def measure_burst(hub: Hub, make: Callable[[int], Json]) -> Json:
    """200 alerts, evenly within a second, each over a connection of its own."""
    times: list[float] = []
    outcomes: list[str] = []
    starts = time.monotonic() + 1

    def send_one(sender: Sender, number: int) -> None:
        time.sleep(max(0.0, starts + number / BURST - time.monotonic()))
        took, status, answer = sender.send(make(number))
        times.append(took)
        outcomes.append(str(status) if status != 200 else answer.get("outcome", "200"))

    at_once(BURST, hub, send_one)
    return {**milliseconds(times), "outcomes": {word: outcomes.count(word) for word in sorted(set(outcomes))}}


def measure_beside(
    hub: Hub, make: Callable[[], Json], disturb: Callable[[threading.Event], None], *, seconds: float
) -> Json:
    """The time of single orders of one owner, alone and while another owner disturbs.

    `inside` is the server's own time, from the whole request to the answer: the senders of this process and their
    handshakes delay one another too.
    """

    def times_of(until: float) -> Json:
        sender, times, inside = Sender(hub), [], []
        while time.monotonic() < until:
            took, status, answer = sender.send(make())
            if status != 200 or answer["summary"]["successful_trades"] != 1:
                raise SystemExit(f"HTTP {status}: {answer}")
            times.append(took)
            inside.append(answer["performance_metrics"]["total_processing_time_ms"] / 1000)
            time.sleep(0.1)
        return {**milliseconds(times), "inside": milliseconds(inside)}

    times_of(time.monotonic() + 2)
    alone = times_of(time.monotonic() + seconds)
    over = threading.Event()
    disturber = threading.Thread(target=disturb, args=(over,))
    disturber.start()
    time.sleep(0.5)
    beside = times_of(time.monotonic() + seconds)
    over.set()
    disturber.join()
    return {"alone": alone, "beside": beside}


def flood_of(hub: Hub, token: str) -> Callable[[threading.Event], None]:
    legs = [{"price": str(90000 - number)} for number in range(FLOOD_LEGS)]

    def flood(over: threading.Event) -> None:
        def send_on(sender: Sender, number: int) -> None:
            while not over.is_set():
                sender.send(alert_for("flood", token, orders=legs))

        at_once(FLOOD_SENDERS, hub, send_on)

    return flood


def hung_alerts_of(hub: Hub, token: str) -> Callable[[threading.Event], None]:
    def hang(over: threading.Event) -> None:
        def send_one(sender: Sender, number: int) -> None:
            sender.send(alert_for("hung", token))

        at_once(HUNG_ALERTS, hub, send_one)

    return hang


def unfinished_of(hub: Hub) -> Callable[[threading.Event], None]:
    """Requests whose bodies never end, from ADDRESSES addresses, opened again as the server ends them."""

    def disturb(over: threading.Event) -> None:
        context = ssl.create_default_context(cafile=os.environ["TLS_CERT"])

        def hold(number: int) -> None:
            while not over.is_set():
                with suppress(OSError):
                    hold_once(context.wrap_socket(connect(hub, number), server_hostname="localhost"), over)

        with ThreadPoolExecutor(UNFINISHED) as pool:
            list(pool.map(hold, range(UNFINISHED)))

    return disturb


def hold_once(connection: ssl.SSLSocket, over: threading.Event) -> None:
    """Until the server ends the request."""
    with connection:
        connection.sendall(HEAD)
        connection.settimeout(1)
        while not over.is_set():
            with suppress(TimeoutError):
                if not connection.recv(1024):
                    return


def silent_of(hub: Hub) -> Callable[[threading.Event], None]:
    def disturb(over: threading.Event) -> None:
        opened = [connect(hub, number) for number in range(SILENT)]
        over.wait()
        for connection in opened:
            connection.close()

    return disturb


def connect(hub: Hub, number: int) -> socket.socket:
    source = (f"127.0.0.{2 + number % ADDRESSES}", 0)
    return socket.create_connection(("127.0.0.1", hub.port), 10, source)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=["throughput", "refusals", "burst", "flood", "hung"])
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    with surroundings():
        os.environ |= {
            "WEBHOOK_ANSWER_BUDGET_MS": BUDGET_MS,
            "EXCHANGE_TIMEOUT_S": "10",
            "WEBHOOK_FAILED_AUTH_PER_MINUTE": "1000000",
        }
        rows = importlib.import_module("fanout.rows")  # models can be imported only after django.setup()
        rows.migrate_database()
        rows.lift_budgets()
        token, other = rows.issue_token(), rows.issue_token("bob")
        for number in range(STRATEGIES):
            rows.make_strategy(f"single-{number}", rows.make_accounts([f"single-{number}"]))
        rows.make_strategy("flood", rows.make_accounts(f"flood-{number}" for number in range(FLOOD_ACCOUNTS)))
        rows.make_strategy("hung", rows.make_accounts(["hangs"]))
        rows.make_strategy("quiet", rows.make_accounts(["quiet"], owner="bob"), owner="bob")
        single = lambda number: alert_for(f"single-{number % STRATEGIES}", token)  # noqa: E731
        quiet = lambda: alert_for("quiet", other)  # noqa: E731
        acts: dict[str, Callable[[Hub], Json]] = {
            "throughput": lambda hub: measure_throughput(hub, single, seconds=options.seconds, wanted=200),
            "refusals": lambda hub: measure_throughput(
                hub, lambda number: alert_for("single-0", "th_wrong"), seconds=options.seconds, wanted=401
            ),
            "burst": lambda hub: measure_burst(hub, single),
            "flood": lambda hub: measure_beside(hub, quiet, flood_of(hub, token), seconds=options.seconds),
            "hung": lambda hub: measure_beside(
                hub, quiet, hung_alerts_of(hub, token), seconds=options.seconds
            ),
            "unfinished": lambda hub: measure_beside(hub, quiet, unfinished_of(hub), seconds=options.seconds),
            "silent": lambda hub: measure_beside(hub, quiet, silent_of(hub), seconds=options.seconds),
        }
        for what in options.what:
            with closing(Hub(strategy="single-0", token=token, accounts=1)) as hub:
                hub.wait_until_ready()
                for _ in range(3):
                    hub.fan_out()
                print(what, json.dumps(acts[what](hub)), flush=True)
                rows.wait_until_over(limit_s=LIMIT_S)


if __name__ == "__main__":
    main()
