import pytest

from exchanges.shares import FairQueue


def queue_of(*items):
    """Items are written as owner, name, and `!` for what is urgent."""
    queue = FairQueue()
    for owner, name in items:
        queue.put(name, owner=owner, is_urgent=name.endswith("!"))
    return queue


def drain(queue):
    return [queue.pop() for _ in range(len(queue))]


def test_owners_take_turns_whatever_each_has_to_do():
    queue = queue_of(*[(1, f"a{number}") for number in range(50)], (2, "b"), (3, "c0"), (3, "c1"))

    assert drain(queue)[:5] == ["a0", "b", "c0", "a1", "c1"]


def test_who_comes_later_waits_for_one_item_of_each_owner_only():
    queue = queue_of((1, "a0"), (1, "a1"), (2, "b0"), (2, "b1"))
    queue.pop()

    queue.put("c", owner=3, is_urgent=False)

    assert drain(queue) == ["b0", "a1", "c", "b1"]


def test_exits_go_before_entries_of_everybody():
    assert drain(queue_of((1, "a0"), (1, "exit!"), (2, "b0"))) == ["exit!", "a0", "b0"]


def test_exits_of_one_owner_hold_up_the_entries_of_nobody():
    queue = queue_of(*[(1, f"exit{number}!") for number in range(8)], (2, "b0"), (2, "b1"))

    assert drain(queue)[:8] == ["exit0!", "exit1!", "exit2!", "b0", "exit3!", "exit4!", "exit5!", "b1"]


def test_an_empty_queue_has_no_next_item():
    queue = queue_of((1, "a"))
    queue.pop()

    assert len(queue) == 0
    with pytest.raises(IndexError):
        queue.pop()
