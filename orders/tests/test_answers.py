"""Answers in groups: complete when all are here, when no more come, or when the first has waited long enough."""

import threading

import pytest

from orders.execution import answers
from orders.execution.answers import AnswerQueue
from tests.waiting import LONG_S


@pytest.fixture
def slow(monkeypatch):
    """No group is complete by time."""
    monkeypatch.setattr(answers, "IDLE_S", LONG_S)
    monkeypatch.setattr(answers, "LONGEST_S", LONG_S)


def queue_of(expected):
    notices = []
    queue = AnswerQueue(notices.append)
    queue.expect(expected)
    return queue, notices


def test_a_group_is_complete_with_its_last_answer(slow):
    queue, notices = queue_of(3)
    queue.put("a")
    queue.put("b")
    early = queue.take()

    queue.put("c")

    assert (early, queue.take(), queue.take()) == ([], ["a", "b", "c"], [])
    assert notices == [LONG_S, 0.0]  # none at the answers between


def test_a_group_is_complete_when_no_more_answers_come(monkeypatch):
    monkeypatch.setattr(answers, "IDLE_S", 0.01)
    queue, _ = queue_of(2)
    queue.put("a")

    assert queue.wait(LONG_S) == ["a"]
    assert queue.due_in_s() is None


def test_a_steady_drip_of_answers_does_not_hold_back_the_first(monkeypatch):
    monkeypatch.setattr(answers, "IDLE_S", LONG_S)
    monkeypatch.setattr(answers, "LONGEST_S", 0.01)
    queue, _ = queue_of(3)
    queue.put("a")
    queue.put("b")

    assert queue.wait(LONG_S) == ["a", "b"]


def test_a_wait_without_answers_ends(slow):
    queue, _ = queue_of(1)

    assert queue.wait(0.01) == []


def test_an_answer_ends_the_wait_of_another_thread(slow):
    queue, _ = queue_of(2)
    threading.Timer(0.01, lambda: [queue.put("a"), queue.put("b")]).start()

    assert queue.wait(LONG_S) == ["a", "b"]
