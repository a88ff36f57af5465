"""Random traffic, random kills and random faults; then both sides' books, compared to the last digit."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.chaos.books import check_books
from tests.chaos.stack import CANCEL_ALL, LIMIT, MARKET, Desk, Json, Stack

FAULTS: list[Json] = [
    {"action": "drop", "when": "before"},
    {"action": "drop", "when": "after"},
    {"action": "reset_mid_body", "when": "after"},
    {"action": "status", "value": 502, "when": "before"},
    {"action": "status", "value": 503, "when": "after"},
    {"action": "garbage", "value": "truncated", "when": "after"},
    {"action": "garbage", "value": "html", "when": "before"},
    {"action": "redirect", "value": 307, "when": "after"},
    {"action": "code", "value": -1007, "when": "after"},
    {"action": "code", "value": -1021},
    {"action": "code", "value": -2019},
    {"action": "wrong_id"},
    {"action": "lookup_lag", "value": 2},
    {"action": "delay", "value": 1, "when": "after"},
    {"action": "delay", "value": 1, "when": "before"},
]
PRICES = {"BTCUSDT": 95_000, "ETHUSDT": 3_500}
TROUBLED = (
    ("POST", "/fapi/v1/order"),
    ("DELETE", "/fapi/v1/order"),
    ("GET", "/fapi/v1/order"),
    ("GET", "/fapi/v1/userTrades"),
)


class Storm:
    """`dice` decides everything, so that a seed repeats the run as far as clocks allow."""

    def __init__(
        self,
        stack: Stack,
        dice: random.Random,
        *,
        desks: int = 24,
        senders: int = 2,
        fault_percent: int = 0,
        processes: int = 1,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.stack, self.dice, self.say = stack, dice, say
        self.fault_percent, self.senders = fault_percent, senders
        self.desks = stack.seed(*({"name": f"storm-{i}", "accounts": 2} for i in range(desks)))
        self.kills, self.sent, self.answered, self.faults = 0, 0, 0, 0
        self.stored: set[str] = set()
        self.compared: Json = {}
        self._lock = threading.Lock()
        self._broken: list[BaseException] = []
        numbers = ["", *map(str, range(2, processes + 1))]
        self.webs, self.trackers = ([f"{kind}{number}" for number in numbers] for kind in ("web", "tracker"))
        for web, tracker in zip(self.webs, self.trackers, strict=True):
            stack.start_web(name=web)
            stack.start_tracker(name=tracker)
        for number in numbers[1:] and numbers:  # a single process of each kind is shown without workers
            stack.start("worker", name=f"worker{number}")

    def rage(self, *, kills: int, check_every: int = 200) -> None:
        while self.kills < kills:
            self._with_traffic(lambda: self._kill_often(min(check_every, kills - self.kills)))
            self._check()

    def blow(self, *, minutes: float, check_every_s: float = 60) -> None:
        """Faults without kills."""
        until = time.monotonic() + 60 * minutes
        while (left := until - time.monotonic()) > 0:
            self._with_traffic(lambda left=left: time.sleep(min(check_every_s, left)))
            self._check()

    def _check(self) -> None:
        self.stack.paper.clear_faults()
        self.compared = check_books(self.stack)
        kept = {row["public_id"] for row in self.stack.call("books")["deliveries"]}
        assert self.stored <= kept, f"answered 200, and not there: {self.stored - kept}"
        self.say(
            f"kills={self.kills} sent={self.sent} answered={self.answered} faults={self.faults} {self.compared}"
        )

    # Kills

    def _kill_often(self, times: int) -> None:
        for _ in range(times):
            self._wait_for_a_moment()
            if self.dice.random() < 0.7:
                web = self.dice.choice(self.webs)
                self.stack.kill(web)
                self.stack.start_web(name=web)
            else:
                tracker = self.dice.choice(self.trackers)
                self.stack.kill(tracker)
                self.stack.start_tracker(name=tracker)
            self.kills += 1

    def _wait_for_a_moment(self) -> None:
        """Half of the time any, half of the time one when the server is at work: it starts cold each time."""
        if self.dice.random() < 0.5:
            before, until = self.answered, time.monotonic() + 3
            while self.answered == before and time.monotonic() < until and not self._broken:
                time.sleep(0.005)
        time.sleep(self.dice.uniform(0, 0.4))

    # Traffic

    def _with_traffic(self, work: Callable[[], Any]) -> None:
        stop = threading.Event()
        dice = [random.Random(self.dice.random()) for _ in range(self.senders)]
        senders = [threading.Thread(target=self._send, args=(each, stop)) for each in dice]
        for sender in senders:
            sender.start()
        try:
            work()
        finally:
            stop.set()
            for sender in senders:
                sender.join()
        if self._broken:
            raise self._broken[0]

    def _send(self, dice: random.Random, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self._send_one(dice, stop)
                stop.wait(dice.uniform(0.02, 0.4))
        except BaseException as error:  # noqa: BLE001 - raised where the work is waited for
            self._broken.append(error)

    def _send_one(self, dice: random.Random, stop: threading.Event) -> None:
        desk = dice.choice(self.desks)
        alert = desk.alert(random_alert(dice), id=f"{dice.random()}")
        self._trouble(dice, desk)
        for _ in range(4):  # as TradingView repeats what got no good answer
            with self._lock:
                self.sent += 1
            answer = self.stack.send(alert, port=self._port_of_one(dice))
            if answer is not None and answer.status == 200:
                with self._lock:
                    self.answered += 1
                    self.stored.add(answer.body["webhook_id"])
                return
            assert answer is None or answer.status == 503, f"{answer}"
            if stop.wait(0.2):
                return

    def _port_of_one(self, dice: random.Random) -> int:
        process = self.stack.running.get(dice.choice(self.webs))
        return process.port if process else 0

    def _trouble(self, dice: random.Random, desk: Desk) -> None:
        if dice.random() < 0.05:
            self.stack.paper.set_prices(
                {symbol: str(round(price * dice.uniform(0.99, 1.01))) for symbol, price in PRICES.items()}
            )
        if dice.randrange(100) < self.fault_percent:
            method, path = dice.choice(TROUBLED)
            fault = dice.choice(FAULTS)
            self.stack.paper.fault(**fault, method=method, path=path, api_key=dice.choice(desk.keys))
            with self._lock:
                self.faults += 1


def random_alert(dice: random.Random) -> Json:
    symbol = dice.choice(["BTC/USDT", "ETH/USDT"])
    side, size = dice.choice(["buy", "sell"]), dice.choice([1, 2, 3.5])
    near = PRICES[symbol.replace("/", "")]
    resting = {"price": str(round(near * (0.995 if side == "buy" else 1.005)))}
    match dice.choices(["market", "limit", "close", "cancel", "batch"], [30, 25, 20, 15, 10])[0]:
        case "market":
            return {**MARKET, "symbol": symbol, "side": side, "qty_per": size}
        case "limit":
            return {**LIMIT, **resting, "symbol": symbol, "side": side, "qty_per": size}
        case "close":
            return {
                "symbol": symbol,
                "order_type": "MARKET",
                "qty_per": dice.choice([-100, -50]),
                "side": side,
            }
        case "cancel":
            return {**CANCEL_ALL, "symbol": symbol}
        case _:
            legs = [
                {"order_type": "CANCEL_ALL_ORDER", "symbol": symbol},
                {"order_type": "MARKET", "symbol": symbol, "side": side, "qty_per": size},
                {"order_type": "LIMIT", "symbol": symbol, "side": side, "qty_per": size, **resting},
            ]
            return {"orders": legs}
