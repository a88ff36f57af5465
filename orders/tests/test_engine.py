"""The engine with runs that only count: many runs on few threads, turns by owner, events and timers."""

import subprocess
import sys
import threading
import time

import pytest

from orders.execution.engine import Engine
from tests.crash import Killed
from tests.waiting import LONG_S, eventually

NEVER_S = 10 * LONG_S

pytestmark = pytest.mark.django_db(transaction=True)


class CountedRun:
    """Waits as long as `waits` say, turn by turn, and then is over."""

    is_urgent = False

    def __init__(self, *waits, owner=1, act=lambda: None):
        self.owner, self.waits, self.act = owner, list(waits), act
        self.turns, self.over = 0, threading.Event()
        self.notify = None

    def advance(self):
        self.turns += 1
        self.act()
        if self.waits:
            return self.waits.pop(0)
        self.over.set()
        return None


@pytest.fixture
def engine():
    engine = Engine(2)
    yield engine
    engine.shut_down()


def test_hundreds_of_waiting_runs_hold_no_thread(engine):
    waiting = [CountedRun(NEVER_S) for _ in range(300)]
    for run in waiting:
        engine.start(run)
    eventually(lambda: all(run.turns for run in waiting), what="all wait")

    newcomer = CountedRun()
    engine.start(newcomer)

    assert newcomer.over.wait(LONG_S)
    assert not any(run.over.is_set() for run in waiting)
    for run in waiting:
        run.notify(0.0)
    assert all(run.over.wait(LONG_S) for run in waiting)


def test_an_owner_waits_for_one_turn_of_a_flood(engine):
    turns, gate = [], threading.Event()
    blockers = [CountedRun(owner=9, act=lambda: gate.wait(LONG_S)) for _ in range(2)]
    for run in blockers:  # both threads are busy while the others queue up
        engine.start(run)
    eventually(lambda: all(run.turns for run in blockers), what="the threads are busy")
    flood = [CountedRun(0.0, 0.0, owner=1, act=lambda: turns.append("flood")) for _ in range(40)]
    single = CountedRun(0.0, owner=2, act=lambda: turns.append("single"))
    for run in [*flood, single]:
        engine.start(run)

    gate.set()

    assert all(run.over.wait(LONG_S) for run in [*flood, single])
    assert turns.index("single") <= 2  # two threads
    assert [place for place, turn in enumerate(turns) if turn == "single"][1] <= 6


def test_an_event_during_a_turn_brings_another_turn(engine):
    begun, go_on = threading.Event(), threading.Event()

    def act():
        begun.set()
        go_on.wait(LONG_S)

    run = CountedRun(NEVER_S, act=act)
    engine.start(run)
    begun.wait(LONG_S)
    run.notify(0.0)
    go_on.set()

    assert run.over.wait(LONG_S)
    assert run.turns == 2


def test_a_look_that_is_announced_comes_in_time_and_not_before(engine):
    started = time.monotonic()
    run = CountedRun(NEVER_S, 0.05)
    engine.start(run)
    eventually(lambda: run.turns, what="the first turn")
    run.notify(0.05)

    assert run.over.wait(LONG_S)
    assert time.monotonic() - started >= 0.1
    assert run.turns == 3


@pytest.mark.parametrize("error", [RuntimeError, Killed])
def test_a_run_that_breaks_off_takes_no_thread_with_it(engine, error):
    def fail():
        raise error

    broken = [CountedRun(act=fail) for _ in range(5)]
    for run in broken:
        engine.start(run)
    after = CountedRun()
    engine.start(after)

    assert after.over.wait(LONG_S)
    eventually(lambda: all(run.turns == 1 for run in broken), what="each had its turn")


def test_notices_of_a_run_that_is_over_change_nothing(engine):
    run = CountedRun()
    engine.start(run)
    run.over.wait(LONG_S)
    run.notify(0.0)
    run.notify(0.01)

    other = CountedRun(0.03)
    engine.start(other)

    assert other.over.wait(LONG_S)
    assert run.turns == 1


def test_the_end_waits_for_the_runs():
    engine = Engine(1)
    run = CountedRun(0.05)
    engine.start(run)

    engine.shut_down()

    assert run.over.is_set()


def test_a_drain_waits_for_the_runs_and_not_for_ever(engine):
    assert engine.drain(0)

    run = CountedRun(NEVER_S)
    engine.start(run)

    assert not engine.drain(0.01)
    run.notify(0.0)
    assert engine.drain(LONG_S)


ENDS_IN_THE_MIDDLE = """
import threading
import django
django.setup()
from orders.execution.engine import Engine

class Run:
    owner, is_urgent, turns = 1, False, 0
    def advance(self):
        self.turns += 1
        if self.turns == 1:
            begun.set()
            return 60.0  # an order is at the exchange
        print("answer written", flush=True)

begun, run = threading.Event(), Run()
Engine(2).start(run)
begun.wait()
answer = threading.Timer(0.5, lambda: run.notify(0.0))  # the answer comes on the exchanges' thread
answer.daemon = True
answer.start()
"""


def test_a_process_that_ends_writes_the_answers_of_its_orders_first():
    ended = subprocess.run(
        [sys.executable, "-c", ENDS_IN_THE_MIDDLE], capture_output=True, text=True, timeout=LONG_S
    )

    assert ended.stdout == "answer written\n", ended.stderr[-400:]
