"""What an exchange may do to a request, and what must come of it. Numbers as in docs/reliability.md."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.chaos.books import check_books
from tests.chaos.stack import CANCEL_ALL, LIMIT, MARKET, PATIENT, Answer, Desk, Json, Stack
from tests.waiting import eventually

ALIVE, ABSENT, REFUSED = "alive", "absent", "refused"
SENDERS = 6
QUICK = {"WEBHOOK_ANSWER_BUDGET_MS": 400}

STOP = {"symbol": "BTC/USDT", "side": "buy", "order_type": "STOP_MARKET", "stop_price": "99000", "qty_per": 5}
KINDS: dict[str, Json] = {
    "market": MARKET,
    "limit": LIMIT,
    "stop": STOP,
    "spot market": MARKET,
    "spot limit": LIMIT,
    "cancel": LIMIT,
}
PATHS = {"stop": "/fapi/v1/algoOrder", "spot market": "/api/v3/order", "spot limit": "/api/v3/order"}
PLAIN = ("market", "limit")
EVERY = (*PLAIN, "stop", "spot market", "spot limit", "cancel")
COMMANDS = (*PLAIN, "cancel")


@dataclass(frozen=True)
class Fault:
    """`rows` hit the command (POST, or DELETE for a cancel) unless they name another method.

    `alone`: it pauses all of us.
    """

    number: str
    name: str
    outcome: str
    rows: tuple[Json, ...]
    kinds: tuple[str, ...] = COMMANDS
    alone: bool = False


def both(number: str, name: str, row: Json, kinds: tuple[str, ...] = COMMANDS) -> list[Fault]:
    """The same reply where the exchange took the order and where it did not: only the ledger differs."""
    return [
        Fault(number, f"{name} after acceptance", ALIVE, ({**row, "when": "after"},), kinds),
        Fault(number, f"{name} before acceptance", ABSENT, ({**row, "when": "before"},), kinds),
    ]


def code(value: int, **more: object) -> Json:
    return {"action": "code", "value": value, **more}


LOST = {"action": "drop", "when": "after"}
QUESTION = {"method": "GET", "path": ""}
FAULTS: list[Fault] = [
    Fault("F1", "no answer, arrives too late", ABSENT, ({"action": "delay", "value": 6, "when": "before"},)),
    Fault("F1", "no answer, arrives late", ALIVE, ({"action": "delay", "value": 3.3, "when": "before"},)),
    Fault("F2", "no answer after acceptance", ALIVE, ({"action": "delay", "value": 5, "when": "after"},), EVERY),
    *[f for status in (500, 502, 503, 504) for f in both("F3 F4", str(status), {"action": "status", "value": status})],
    *both("F5", "connection dropped", {"action": "drop"}, EVERY),
    *both("F6", "reset in the body", {"action": "reset_mid_body"}, EVERY),
    *both("F7", "HTML", {"action": "garbage", "value": "html"}),
    *both("F7", "empty", {"action": "garbage", "value": "empty"}),
    *both("F7", "truncated", {"action": "garbage", "value": "truncated"}, EVERY),
    *both("F7", "empty object", {"action": "garbage", "value": {}}),
    *both("F7", "a list", {"action": "garbage", "value": [1, 2, 3]}),
    Fault("F8", "someone else's id", ALIVE, ({"action": "wrong_id"},), ("market", "limit", "stop", "spot market")),
    *[
        Fault("F9", f"429 Retry-After {wait}", REFUSED, (code(-1003, status=429, retry_after=wait),), alone=True)
        for wait in (1, "soon", "-5", "99999999999", "Wed, 21 Oct 2026 07:28:00 GMT")
    ],
    Fault("F9", "429 without Retry-After", REFUSED, (code(-1015, status=429),), alone=True),
    Fault("F10", "418 ban", REFUSED, (code(-1003, status=418, retry_after=120),), alone=True),
    Fault("F10", "403 of the firewall", REFUSED, ({"action": "status", "value": 403},), alone=True),
    Fault("F11", "-1021 clock", REFUSED, (code(-1021),)),
    Fault("F11", "-5028 clock", REFUSED, (code(-5028),), PLAIN),
    Fault("F12", "-2019 margin", REFUSED, (code(-2019),)),
    Fault("F17", "-1008 overloaded", REFUSED, (code(-1008),), PLAIN),
    Fault("F12", "-2010 balance", REFUSED, (code(-2010),), ("spot market", "spot limit")),
    Fault("F13", "-2010 duplicate, is there", ALIVE, (code(-2010, msg="Duplicate order sent.", when="after"),), PLAIN),
    Fault("F13", "-4116 duplicate, it is there", ALIVE, (code(-4116, when="after"),), PLAIN),
    Fault("F13", "-4116 duplicate, it is not", ABSENT, (code(-4116),), PLAIN),
    Fault("F14", "-2011 though it is open", REFUSED, (code(-2011),), ("cancel",)),
    Fault("F14", "-2011 after canceling", ALIVE, (code(-2011, when="after"),), ("cancel",)),
    *[Fault("F15", f"{value}", REFUSED, (code(value),), PLAIN) for value in (-1013, -1111, -4003, -4014, -4164)],
    *[f for value in (-1006, -1007) for f in both("F16", f"{value}", code(value))],
    *[f for value in (-1000, -1001, -1010, -1016) for f in both("F17", f"{value}", code(value))],
    Fault("F18", "slow loris", ALIVE, ({"action": "slow", "value": 1},)),
    *[f for status in (302, 307, 308) for f in both("F19", str(status), {"action": "redirect", "value": status})],
    Fault("F20", "not found for 4 s", ALIVE, (LOST, {"action": "lookup_lag", "value": 4}), PLAIN),
    Fault("F21", "look-ups fail", ALIVE, (LOST, {"action": "drop", "times": 6, **QUESTION}), PLAIN),
    Fault("F21", "look-ups get 500", ALIVE, (LOST, {"action": "status", "value": 500, "times": 6, **QUESTION}), PLAIN),
    Fault("F23", "fills reported twice", ALIVE, ({"action": "duplicate_fills", "times": 4, **QUESTION},), ("market",)),
    Fault("F23", "fills twice in the reply", ALIVE, ({"action": "duplicate_fills"},), ("spot market",)),
    Fault("F36", "key revoked before the look-up", ALIVE, (LOST, {**code(-2015), "times": 4, **QUESTION}), PLAIN),
    Fault("F39", "-1121 delisted", REFUSED, (code(-1121),), PLAIN),
    Fault("F39", "-4140 halted", REFUSED, (code(-4140),), PLAIN),
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    fault: Fault
    kind: str

    @property
    def name(self) -> str:
        return f"{self.fault.number} {self.fault.name} {self.kind}".replace(" ", "-")


def all_cases() -> list[Case]:
    cases = [Case(fault, kind) for fault in FAULTS for kind in fault.kinds]
    assert len({case.name for case in cases}) == len(cases)
    return cases


@dataclass
class Seat:
    """A case with its account. `problem` tells why the case could not be played to its end."""

    case: Case
    desk: Desk
    answer: Answer | None = None
    problem: str = ""

    @property
    def key(self) -> str:
        return self.desk.keys[0]


class Run:
    """All cases on one stack, each with an account of its own, judged together once everything is decided.

    A case that goes wrong is that case's problem, and the others go on. `books` tells what is wrong in the end
    between our books and the exchange's, whichever case it comes from.
    """

    def __init__(self, stack: Stack, cases: Sequence[Case]) -> None:
        self.stack = stack
        self.books = ""
        wanted = [
            {"name": f"fault-{i}", "market_type": "SPOT" if case.kind.startswith("spot") else "FUTURES"}
            for i, case in enumerate(cases)
        ]
        desks = stack.seed(*wanted)
        self.seats = [Seat(case, desk) for case, desk in zip(cases, desks, strict=True)]

    def play(self) -> None:
        self.stack.start_web(settings=PATIENT)
        self.stack.start_tracker()
        for seat in self.seats:
            if seat.case.kind == "cancel":
                self._try(seat, self._place_first)
        self.stack.kill("web")
        self.stack.start_web(settings=QUICK)
        together = [seat for seat in self.seats if not seat.case.fault.alone]
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(lambda seat: self._try(seat, self._send), together))
        for seat in self.seats:
            if seat.case.fault.alone:
                self._end_pauses()
                self._try(seat, self._send_and_wait)
        self._end_pauses()
        try:
            check_books(self.stack)
        except AssertionError as error:
            self.books = str(error)

    def _try(self, seat: Seat, act: Callable[[Seat], None]) -> None:
        if not seat.problem:
            try:
                act(seat)
            except (AssertionError, TimeoutError) as error:
                seat.problem = str(error)

    def _place_first(self, seat: Seat) -> None:
        placed = self.stack.deliver(seat.desk.alert(LIMIT))
        assert placed is not None, "no answer to the order that is to be canceled"
        assert placed.status == 200, f"{placed}"
        assert placed.body["results"][0]["order_status"] == "accepted", f"{placed}"

    def _end_pauses(self) -> None:
        """What the exchange asked for in one case must not hold up the others, for days."""
        for name in ("web", "tracker"):
            self.stack.kill(name)
        self.stack.call("end_pauses")
        self.stack.start_web(settings=QUICK)
        self.stack.start_tracker()

    def _send(self, seat: Seat) -> None:
        kind = seat.case.kind
        for row in seat.case.fault.rows:
            usual = {
                "method": "DELETE" if kind == "cancel" else "POST",
                "path": PATHS.get(kind, "/fapi/v1/order"),
            }
            self.stack.paper.fault(**{**usual, "api_key": seat.key, **row})
        alert = seat.desk.alert(CANCEL_ALL if kind == "cancel" else KINDS[kind])
        seat.answer = self.stack.deliver(alert)

    def _send_and_wait(self, seat: Seat) -> None:
        self._send(seat)
        self._wait_for_the_command(seat)

    def _wait_for_the_command(self, seat: Seat) -> None:
        method = "DELETE" if seat.case.kind == "cancel" else "POST"
        eventually(lambda: self.stack.posts(seat.key, method=method), what=f"{seat.case.name} is sent")
        if method == "POST":  # whoever is killed before the refusal is written does not know of it
            eventually(lambda: self._status(seat) != "submitted", what=f"{seat.case.name} is written")

    def _status(self, seat: Seat) -> str:
        rows = self.stack.call("books")["orders"]
        return next((row["status"] for row in rows if row["account"] == seat.key), "")

    def verdicts(self) -> dict[str, list[str]]:
        """By case: what is wrong."""
        rows: dict[str, list[Json]] = defaultdict(list)
        for row in self.stack.call("books")["orders"]:
            rows[row["account"]].append(row)
        accounts = self.stack.paper.state()["accounts"]
        requests = self.stack.paper.requests()
        found = {}
        for seat in self.seats:
            posts = sum(1 for row in requests if row["api_key"] == seat.key and row["method"] == "POST")
            wrong = [
                *filter(None, [seat.problem]),
                *_wrong_books(seat.case, rows[seat.key], accounts[seat.key]["orders"]),
                *_wrong_answer(seat),
            ]
            if posts != 1:
                wrong.append(f"{posts} POSTs")
            found[seat.case.name] = wrong
        return found


def _wrong_books(case: Case, rows: list[Json], ledger: list[Json]) -> Iterator[str]:
    if len(rows) != 1:
        yield f"{len(rows)} orders here"
        return
    row = rows[0]
    if case.kind == "cancel":
        if (row["status"], [order["status"] for order in ledger]) != ("canceled", ["CANCELED"]):
            yield f"not canceled: {row['status']} here, {ledger} there"
        return
    alive = "filled" if "market" in case.kind else "accepted"
    status, evidence = {ALIVE: (alive, ""), ABSENT: ("rejected", "absence"), REFUSED: ("rejected", "reply")}[
        case.fault.outcome
    ]
    if row["status"] != status or (evidence and row["evidence"] != evidence):
        yield f"{row['status']} ({row['reason']}) on {row['evidence']} evidence, not {status} on {evidence or 'any'}"
    if len(ledger) != (case.fault.outcome == ALIVE):
        yield f"{len(ledger)} orders at the exchange"


def _wrong_answer(seat: Seat) -> Iterator[str]:
    """The sender hears 200 in time, and never the opposite of what is true."""
    if seat.answer is None or seat.answer.status != 200:
        yield f"answered {seat.answer}"
        return
    said = {result["status"] for result in seat.answer.body["results"]}
    outcome = seat.case.fault.outcome
    lies = {ALIVE: "failed", ABSENT: "success", REFUSED: "success"}[outcome]
    if lies in said and seat.case.kind != "cancel":
        yield f"answered {lies}, though {outcome}"
