import pytest

from exchanges.shares import FairQueue, OwnerPlaces, WeightShares


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


# Places


def begun_when_first_ends(places, *asking):
    """Who begins in which order: all ask at once, and each call ends only after all have asked."""
    begun = []
    for owner in asking:
        places.ask(owner, lambda owner=owner: begun.append(owner))
    running = list(begun)
    for number in range(len(asking)):
        places.give_back(begun[number])
    return running, begun


def test_places_go_to_owners_by_turns():
    _, begun = begun_when_first_ends(OwnerPlaces(1, of_one_owner=1), 1, 1, 1, 1, 2, 3)

    assert begun == [1, 1, 2, 3, 1, 1]


def test_no_owner_has_all_places():
    running, begun = begun_when_first_ends(OwnerPlaces(3, of_one_owner=2), 1, 1, 1, 1, 2)

    assert running == [1, 1, 2]
    assert len(begun) == 5


# Request weight

ALICE, BOB, CHARLIE = 1, 2, 3
LIMIT = 1000


def weights(used, *, minute=7, **calls):
    """Weights of the minute 7 with the calls of alice, bob and charlie."""
    shares = WeightShares()
    for name, number in calls.items():
        for _ in range(number):
            shares.note_call(minute, {"alice": ALICE, "bob": BOB, "charlie": CHARLIE, "nobody": 0}[name])
    shares.note_used(minute, used)
    return shares


@pytest.mark.parametrize(
    ("used", "calls", "more", "has_room"),
    [
        (499, {"alice": 9, "bob": 1}, 1, True),  # half is for whoever comes first
        (501, {"alice": 9}, 1, True),  # alone
        (999, {"alice": 9}, 1, True),
        (1000, {"alice": 9}, 1, False),
        (600, {"alice": 9, "bob": 1}, 1, False),  # used 540 of her 500
        (600, {"alice": 7, "bob": 3}, 1, True),
        (600, {"alice": 7, "bob": 3}, 81, False),
        (600, {"alice": 4, "bob": 3, "charlie": 3}, 93, True),  # 333
        (600, {"alice": 4, "bob": 3, "charlie": 3}, 94, False),
        (600, {"alice": 9, "nobody": 1}, 1, True),  # prices are for everybody
        (600, {"bob": 9}, 1, True),  # she has used nothing
        (1001, {"bob": 9}, 0, False),
    ],
)
def test_an_owner_has_room_up_to_an_equal_part(used, calls, more, has_room):
    assert weights(used, **calls).has_room(7, ALICE, limit=LIMIT, more=more) is has_room


def test_calls_for_everybody_are_bounded_by_the_limit_only():
    shares = weights(900, alice=1, nobody=90)

    assert shares.has_room(7, 0, limit=LIMIT)
    assert not shares.has_room(7, 0, limit=LIMIT, more=101)


@pytest.mark.parametrize(("minute", "has_room"), [(8, False), (9, True)])
def test_an_owner_counts_as_one_of_the_others_for_a_minute_more(minute, has_room):
    shares = weights(10, bob=1)
    shares.note_call(minute, ALICE)
    shares.note_used(minute, 600)

    assert shares.has_room(minute, ALICE, limit=LIMIT) is has_room


def test_each_minute_begins_with_all_of_its_weight():
    assert weights(1000, alice=9, bob=1).has_room(8, ALICE, limit=LIMIT, more=500)


def test_a_late_answer_tells_nothing_about_this_minute():
    shares = weights(10, minute=8)

    shares.note_used(7, 1000)

    assert (shares.minute, shares.used) == (8, 10)
