"""Every place where a process may die x what the exchange makes of the order. docs/reliability.md has the table.

A case kills a process and leaves it at that. The tracker works in the background, and all cases of a run are judged
together once everything is decided: a proof of absence takes as long for a hundred orders as for one.
"""

import os
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.books import check_books
from tests.chaos.stack import CANCEL_ALL, LIMIT, MARKET, PATIENT, Desk, Json, Process, Stack
from tests.waiting import eventually

ORDER = "/fapi/v1/order"

# What the exchange makes of the request: the fault set for it, and whether its ledger then has the order.
VENUES: dict[str, Json | None] = {
    "accepted": None,
    "reply lost": {"action": "drop", "when": "after"},
    "not accepted": {"action": "drop", "when": "before"},
    "rejected": {"action": "code", "value": -2019},
    "throttled": {"action": "code", "value": -1003, "status": 429, "retry_after": 1},
}
IN_LEDGER = ("accepted", "reply lost")
KINDS: dict[str, Json] = {"market": MARKET, "limit": LIMIT}
# An exit that takes three attempts, because the book is thin, and that has to cancel a take profit first.
THIN = "ETHUSDT"
ETH: Json = {"symbol": "ETH/USDT", "side": "buy"}
ENTRY: Json = {**ETH, "order_type": "MARKET", "qty": "0.9"}
TAKE_PROFIT: Json = {**ETH, "side": "sell", "order_type": "LIMIT", "price": "9000", "qty_per": -100}
EXIT: Json = {**ETH, "side": "sell", "order_type": "MARKET", "qty_per": -100}
BOOK = "0.4"
BRIEF = {"WEBHOOK_ANSWER_BUDGET_MS": 50}


@dataclass(frozen=True)
class Case:
    """`point` names the place, `failpoints` arms it: the same line is passed for several reasons."""

    point: str
    venue: str
    kind: str
    failpoints: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.point, self.venue, self.kind, self.note))).replace(" ", "-")


@dataclass
class Seat:
    """A case with the strategy it plays on. `problem` tells why the case could not be played to its end."""

    case: Case
    desk: Desk
    problem: str = ""
    paused: Process | None = None

    @property
    def key(self) -> str:
        return self.desk.keys[0]

    @property
    def alert(self) -> Json:
        if self.case.kind == "exit":
            return self.desk.alert(EXIT, id=self.case.name)
        return self.desk.alert(KINDS.get(self.case.kind, LIMIT), id=self.case.name)


def all_cases() -> list[Case]:
    return [
        *_before_and_after_sending(),
        *_on_the_wire(),
        *_while_canceling(),
        *_in_recovery(),
        *_while_exiting(),
        *_paused(),
    ]


def ci_cases() -> list[Case]:
    """Every point once, the exchange's conduct by turns."""
    chosen: dict[tuple[str, str, str], Case] = {}
    cases = all_cases()
    points = list(dict.fromkeys((case.point, case.note) for case in cases))
    for turn, (point, note) in enumerate(points):
        of_point = [case for case in cases if (case.point, case.note) == (point, note)]
        case = of_point[(turn * 3) % len(of_point)]
        chosen[case.point, case.note, case.venue] = case
    return list(chosen.values())


def _before_and_after_sending() -> Iterable[Case]:
    for kind in KINDS:
        for venue in VENUES:
            for point in ("K0", "K1", "K2", "K4", "K5", "K6", "K9", "K11"):
                yield Case(point, venue, kind, f"{point}:1")
            yield Case("K3", venue, kind)
            yield Case("K10", venue, kind, "K10:1", note="claim")
            if venue in ("accepted", "rejected", "throttled"):
                yield Case("K10", venue, kind, "K10:2", note="result")
    yield Case("K10", "accepted", "market", "K10:3", note="trades")


def _on_the_wire() -> Iterable[Case]:
    for kind in KINDS:
        for venue in VENUES:
            yield Case("K7", venue, kind)
        for venue in IN_LEDGER:
            yield Case("K8", venue, kind)


def _while_canceling() -> Iterable[Case]:
    for venue in VENUES:
        yield Case("K12", venue, "cancel", "K12:1")
        yield Case("K13", venue, "cancel", "K9:1", note="reply read")
    for venue in IN_LEDGER:
        yield Case("K13", venue, "cancel", note="reply not read")


def _in_recovery() -> Iterable[Case]:
    for kind in KINDS:
        for venue in VENUES:
            yield Case("K14", venue, kind, "K9:1")
        for venue in IN_LEDGER:
            yield Case("K15", venue, kind, "K10:1")
    for venue in IN_LEDGER:
        yield Case("K15", venue, "market", "K10:2", note="trades")


def _while_exiting() -> Iterable[Case]:
    """Every step of a goal: the cancel of what stands in the way, each attempt, each look at the goal."""
    for venue in VENUES:
        for point, turn in (
            ("K5", 1), ("K12", 1), ("K6", 1), ("K9", 1), ("K9", 2), ("K10", 2), ("K10", 4), ("K20", 1), ("K21", 1),
            ("K22", 1), ("K6", 2), ("K20", 2), ("K21", 2), ("K22", 2),
        ):  # fmt: skip
            # Without an answer to the first attempt the run makes no second one: that is the tracker's.
            if venue not in ("reply lost", "not accepted") or turn == 1 or point == "K9":
                yield Case(point, venue, "exit", f"{point}:{turn}", note=f"turn {turn}")


def _paused() -> Iterable[Case]:
    for kind in KINDS:
        for venue in VENUES:
            for point in ("K2", "K5", "K6"):
                yield Case("K19", venue, kind, f"{point}:1:stop", note=f"at {point}")


# Running


class Run:
    """Plays cases on one stack whose tracker is running.

    A case that goes wrong is that case's problem, and the others go on. `books` tells what is wrong in the end
    between our books and the exchange's, whichever case it comes from.
    """

    def __init__(
        self, stack: Stack, cases: Sequence[Case], say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.stack = stack
        self.say = say
        self.kills = 0
        self.books = ""
        desks = stack.seed(*({"name": case.name, "accounts": 1} for case in cases))
        self.seats = [Seat(case, desk) for case, desk in zip(cases, desks, strict=True)]

    def play(self) -> Json:
        """Returns how much was compared in the end."""
        self._start_over()
        # Last those whose process lives on: all of them wait out the lease together.
        for seat in sorted(self.seats, key=lambda seat: seat.case.point == "K19"):
            self._try(seat, self._play)
        self._resume_paused()
        self.stack.kill("web")
        self.stack.start_web()
        for seat in self.seats:
            if seat.case.point in ("K0", "K1", "K2", "K4", "K11"):
                self._try(seat, self._resend)
        try:
            return check_books(self.stack)
        except AssertionError as error:
            self.books += str(error)
            return {}

    def _try(self, seat: Seat, act: Callable[[Seat], None]) -> None:
        if not seat.problem:
            try:
                act(seat)
            except (AssertionError, TimeoutError) as error:
                seat.problem = f"{seat.case.name}: {error}"
                self._start_over()

    def _start_over(self) -> None:
        """A server and a tracker that nothing kills."""
        for name in ("web", "tracker"):
            self.stack.kill(name)
        self.stack.start_web(settings=PATIENT)
        self.stack.start_tracker()

    def _play(self, seat: Seat) -> None:
        point = seat.case.point
        self.say(seat.case.name)
        if seat.case.kind == "cancel":
            self._cancel(seat)
        elif seat.case.kind == "exit":
            self._exit(seat)
        elif point == "K3":
            self._kill_after_the_answer(seat)
        elif point in ("K7", "K8"):
            self._kill_on_the_wire(seat)
        elif point in ("K14", "K15"):
            self._kill_the_tracker(seat)
        elif point == "K19":
            self._pause(seat)
        else:
            self._lose_the_answer(seat, seat.alert)

    def _fault(self, seat: Seat, method: str = "POST") -> None:
        fault = VENUES[seat.case.venue]
        if fault is not None:
            self.stack.paper.fault(**fault, method=method, path=ORDER, api_key=seat.key)

    def _delay(self, seat: Seat, when: str, method: str = "POST") -> None:
        self.stack.paper.fault(
            action="delay", value=2, when=when, method=method, path=ORDER, api_key=seat.key
        )

    def _lose_the_answer(self, seat: Seat, alert: Json) -> None:
        self._fault(seat, "DELETE" if seat.case.kind == "cancel" else "POST")
        # After K2 and K5 whoever carries on knows no market and no price yet. The second turn of an exit is the run's
        # only where no tracker comes first.
        is_without_tracker = seat.case.point in ("K2", "K5") or seat.case.note == "turn 2"
        if is_without_tracker:
            self._stop_the_idle_tracker()
        self.stack.kill("web")
        web = self.stack.start_web(seat.case.failpoints)
        answer = self.stack.deliver(alert)
        # A MARKET entry is answered with the exchange's word, before its trades are written.
        assert answer is None or seat.case.note == "trades", f"answered {answer}"
        self._killed(web)
        if is_without_tracker:
            self.stack.start_tracker()

    def _kill_after_the_answer(self, seat: Seat) -> None:
        self._delay(seat, "before")
        self._fault(seat)
        self.stack.kill("web")
        self.stack.start_web(settings=BRIEF)
        answer = self.stack.deliver(seat.alert)
        assert answer is not None, "no answer"
        assert answer.status == 200, f"answered {answer}"
        self._kill_when(seat, "POST", "")

    def _kill_on_the_wire(self, seat: Seat) -> None:
        self._delay(seat, "before" if seat.case.point == "K7" else "after")
        self._fault(seat)
        self._restart_unarmed()
        self._begin_to_send(seat.alert)
        self._kill_when(seat, "POST", "pending" if seat.case.point == "K7" else "accepted")

    def _cancel(self, seat: Seat) -> None:
        self._restart_unarmed()
        placed = self.stack.deliver(seat.alert)
        assert placed is not None, "no answer to the order that is to be canceled"
        assert placed.status == 200, f"{placed}"
        assert placed.body["results"][0]["order_status"] == "accepted", f"{placed}"
        if seat.case.failpoints:
            self._lose_the_answer(seat, seat.desk.alert(CANCEL_ALL))
            return
        self._delay(seat, "after", "DELETE")
        self._fault(seat, "DELETE")
        self._begin_to_send(seat.desk.alert(CANCEL_ALL))
        self._kill_when(seat, "DELETE", "accepted")

    def _exit(self, seat: Seat) -> None:
        self._restart_unarmed()
        self.stack.paper.set_liquidity({THIN: None})
        for leg in (ENTRY, TAKE_PROFIT):
            placed = self.stack.deliver(seat.desk.alert(leg))
            assert placed is not None, "no answer to what opens the position"
            assert placed.body["results"][0]["status"] == "success", f"{placed}"
        self.stack.paper.set_liquidity({THIN: BOOK})
        self._lose_the_answer(seat, seat.alert)

    def _kill_the_tracker(self, seat: Seat) -> None:
        self._stop_the_idle_tracker()
        self._fault(seat)
        self.stack.kill("web")
        web = self.stack.start_web("K9:1")
        answer = self.stack.deliver(seat.alert)
        assert answer is None, f"answered {answer}"
        self._killed(web)
        self._killed(self.stack.start_tracker(seat.case.failpoints))
        self.stack.start_tracker()

    def _stop_the_idle_tracker(self) -> None:
        """Not while it sends what earlier cases left: that would be a second kill for them."""
        eventually(lambda: not self.stack.call("undecided")["batches"], what="batches end", every_s=0.1)
        self.stack.kill("tracker")

    def _pause(self, seat: Seat) -> None:
        self._fault(seat)
        web = self.stack.start_web(seat.case.failpoints, name=seat.case.name)
        self._begin_to_send(seat.alert, port=web.port)
        eventually(lambda: self.stack.is_stopped(web), what="the server pauses")
        seat.paused = web

    def _resume_paused(self) -> None:
        """Once the tracker has taken over and given up what it could, which is the worst time to wake up."""
        paused = [seat for seat in self.seats if seat.paused is not None]
        if not paused:
            return
        self._wait_until_decided()
        for seat in paused:
            os.kill(seat.paused.pid, signal.SIGCONT)  # type: ignore[union-attr]
        eventually(
            lambda: not any(self.stack.is_stopped(seat.paused) for seat in paused),  # type: ignore[arg-type]
            what="the paused go on",
        )
        self._wait_until_decided()
        for seat in paused:
            self.stack.kill(seat.case.name, signal.SIGTERM)  # drains what it still had to do

    def _wait_until_decided(self) -> None:
        try:
            self.stack.wait_until_decided()
        except AssertionError as error:
            self.books = str(error)

    def _restart_unarmed(self) -> None:
        if "web" not in self.stack.running:
            self.stack.start_web(settings=PATIENT)

    def _kill_when(self, seat: Seat, method: str, outcome: str) -> None:
        eventually(
            lambda: [
                row for row in self.stack.posts(seat.key, method=method) if outcome in ("", row["outcome"])
            ],
            what=f"{method} {outcome}",
            every_s=0.01,
        )
        self.stack.kill("web")
        self.kills += 1

    def _begin_to_send(self, alert: Json, *, port: int = 0) -> None:
        """A sender that nobody waits for, and that gives up after a while, as TradingView does."""
        sending = {"port": port, "timeout_s": 5}
        threading.Thread(target=self.stack.deliver, args=(alert,), kwargs=sending, daemon=True).start()

    def _killed(self, process: Process) -> None:
        code = self.stack.wait_until_dead(process)
        assert os.WIFSIGNALED(code), f"ended by itself with {code}"
        assert os.WTERMSIG(code) == signal.SIGKILL
        for name in [name for name, running in self.stack.running.items() if running is process]:
            del self.stack.running[name]
        self.kills += 1

    # Judging

    def _resend(self, seat: Seat) -> None:
        """The sender got no answer: what was not stored is sent again, and so is, in part, what was."""
        stored = seat.case.point in ("K2", "K11")
        answer = self.stack.deliver(seat.alert)
        assert answer is not None, "no answer to the repetition"
        assert (answer.status, answer.body.get("duplicate")) == (200, stored), f"{answer}"

    def verdicts(self) -> dict[str, str]:
        """By case: what is wrong, or nothing."""
        exits = {row["strategy"]: row["state"] for row in self.stack.call("exits")}
        rows: dict[str, list[Json]] = defaultdict(list)
        for row in self.stack.call("books")["orders"]:
            rows[row["strategy"]].append(row)
        ledger = self.stack.paper.state()["accounts"]
        requests = self.stack.paper.requests()
        found = {}
        for seat in self.seats:
            posts = sum(
                1
                for row in requests
                if (row["api_key"], row["method"], row["path"]) == (seat.key, "POST", ORDER)
            )
            statuses = [row["status"] for row in rows[seat.case.name] if not was_held_back(row, requests)]
            got: object = (statuses, posts, len(ledger[seat.key]["orders"]))
            wanted: object = expected(seat.case)
            if seat.case.kind == "exit":
                held = {row["symbol"]: row["positionAmt"] for row in ledger[seat.key]["positions"]}
                got = (exits.get(seat.case.name), held.get(THIN, "0"), resting_at(ledger[seat.key]))
                wanted = ("reached", "0", [])
            wrong = "" if got == wanted else f"{seat.case.name}: {got}, not {wanted}"
            found[seat.case.name] = "; ".join(filter(None, (seat.problem, wrong)))
        return found


def resting_at(account: Json) -> list[str]:
    return [order["clientOrderId"] for order in account["orders"] if order["status"] == "NEW"]


def was_held_back(row: Json, requests: Sequence[Json]) -> bool:
    """A pause that the exchange asked for in another case overtook it; its next attempt is what counts."""
    never_left = all(sent["clientOrderId"] != row["client_order_id"] for sent in requests)
    return row["reason"] == "throttled" and never_left


def expected(case: Case) -> tuple[list[str], int, int]:
    """What is in the end: our orders' statuses, how many POSTs the exchange saw, how many orders it has."""
    alive = "filled" if case.kind == "market" else "accepted"
    if case.kind == "cancel":
        return ["canceled"], 1, 1
    if case.point == "K6" or case.failpoints.startswith("K6"):
        return ["rejected"], 0, 0
    return ([alive], 1, 1) if case.venue in IN_LEDGER else (["rejected"], 1, 0)
