import asyncio
from contextlib import AsyncExitStack

import pytest

from strategies.tokens import digest_of
from tradehub.http.sender_turns import Crowded, Group, KnownTokens, Sender, Turns, sender_of_request
from webhooks.senders import parse_networks

ALICE, BOB = 1, 2
TOKEN = "th_" + "a" * 43
A1, A2, B1 = Sender("a1", "10.0.0.1"), Sender("a2", "10.0.0.1"), Sender("b1", "10.0.0.1")


def stranger(number):
    return Sender(f"guess-{number}", f"10.1.0.{number}")


def known():
    tokens = KnownTokens()
    tokens.learn("a1", ALICE)
    tokens.learn("a2", ALICE)
    tokens.learn("b1", BOB)
    return tokens


class Queue:
    """Requests that wait for turns; `served` lists who had a turn, in order. A turn lasts until `end_turn`."""

    def __init__(self, turns):
        self.turns, self.served, self.ends = turns, [], []
        self.tasks = []

    async def arrive(self, *senders):
        for sender in senders:
            self.tasks.append(asyncio.create_task(self.take_turn(sender)))
            await settle()

    async def take_turn(self, sender):
        async with self.turns.turn_of(sender):
            self.served.append(sender)
            end = asyncio.Event()
            self.ends.append(end)
            await end.wait()

    async def end_turn(self):
        self.ends.pop(0).set()
        await settle()

    async def end_all(self):
        while self.ends:
            await self.end_turn()


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def served(turns, *senders):
    """Who is served in which order, when all of `senders` come while the first of them has the only place."""

    async def serve():
        queue = Queue(turns)
        await queue.arrive(*senders)
        await queue.end_all()
        return queue.served

    return asyncio.run(serve())


def test_a_senders_queue_delays_no_other_sender():
    order = served(Turns(1, known()), A1, A1, A1, A1, B1)

    assert order.index(B1) <= 2


def test_tokens_of_one_owner_share_the_owners_turn():
    order = served(Turns(1, known()), A1, A1, A1, A2, A2, A2, B1, B1)

    assert [sender == B1 for sender in order[1:5]] == [False, True, False, True]
    assert order.index(A2) <= 3


def test_invented_tokens_make_no_turns():
    strangers = [stranger(number) for number in range(20)]

    order = served(Turns(1, known()), strangers[0], *strangers, A1, A1)

    assert order.index(A1) == 2
    assert order[:5].count(A1) == 2


def test_addresses_of_strangers_take_turns():
    loud, quiet = [Sender(f"guess-{number}", "10.9.0.1") for number in range(9)], stranger(1)

    order = served(Turns(1, KnownTokens()), *loud, quiet)

    assert order.index(quiet) <= 2


def test_a_token_that_proves_right_takes_its_waiting_requests_along():
    tokens = KnownTokens()
    turns = Turns(1, tokens)

    async def serve():
        queue = Queue(turns)
        await queue.arrive(A1, *[A1] * 5, B1, *[B1] * 5)
        tokens.learn("a1", ALICE)
        tokens.learn("b1", BOB)
        await queue.end_all()
        return queue.served

    order = asyncio.run(serve())

    assert order.index(B1) <= 3
    assert len(order) == 12


def test_no_owner_takes_the_places_of_the_next():
    async def serve():
        queue = Queue(Turns(12, known(), of_one_sender=3))
        await queue.arrive(*[A1] * 30, *[stranger(number) for number in range(30)], B1)
        running = list(queue.served)
        await queue.end_all()
        return running, queue.served

    running, in_all = asyncio.run(serve())

    assert running.count(A1) == 3
    assert running.count(B1) == 1
    assert len(running) == 3 + 6 + 1  # all strangers together use twice as many
    assert len(in_all) == 61


def test_a_crowd_of_one_sender_is_refused_and_other_senders_are_not():
    async def serve():
        turns = Turns(1, known(), waiting_per_sender=3, waiting_at_most=100)
        queue = Queue(turns)
        await queue.arrive(*[A1] * 4)
        with pytest.raises(Crowded):
            await queue.take_turn(A2)
        await queue.arrive(B1)
        await queue.end_all()
        return queue.served

    assert asyncio.run(serve()).count(B1) == 1


def test_when_all_places_to_wait_are_taken_an_owner_without_any_still_waits():
    async def serve():
        turns = Turns(1, known(), waiting_per_sender=100, waiting_at_most=10)
        queue = Queue(turns)
        await queue.arrive(*[A1] * 11)
        with pytest.raises(Crowded):
            await queue.take_turn(A1)
        await queue.arrive(B1)
        await queue.end_all()
        return queue.served

    assert asyncio.run(serve()).count(B1) == 1


def test_strangers_never_take_more_than_half_of_the_places_to_wait():
    async def serve():
        turns = Turns(1, known(), waiting_per_sender=100, waiting_at_most=10)
        queue = Queue(turns)
        await queue.arrive(*[stranger(number) for number in range(6)])
        with pytest.raises(Crowded):
            await queue.take_turn(stranger(7))
        await queue.arrive(*[A1] * 5)
        await queue.end_all()
        return queue.served

    assert asyncio.run(serve()).count(A1) == 5


def test_a_client_that_leaves_while_waiting_or_at_its_turn_gives_its_place_back():
    async def serve():
        queue = Queue(Turns(1, known()))
        await queue.arrive(A1, B1, A1)
        queue.tasks[1].cancel()  # waits
        await settle()
        queue.ends[0].set()
        queue.tasks[2].cancel()  # has its turn before it wakes up, or waits
        await settle()
        await queue.arrive(B1)
        await queue.end_all()
        return queue.served

    assert asyncio.run(serve())[-1] == B1


def test_a_turn_ends_with_a_fault_too():
    turns = Turns(1, known())

    async def fail():
        async with turns.turn_of(A1):
            raise ZeroDivisionError

    async def serve():
        with pytest.raises(ZeroDivisionError):
            await fail()
        async with AsyncExitStack() as stack, asyncio.timeout(5):
            await stack.enter_async_context(turns.turn_of(A1))
            return True

    assert asyncio.run(serve())


# Who sends


@pytest.mark.parametrize(
    ("environ", "body"),
    [
        ({}, b'{"group_name": "test1", "token": "%s"}' % TOKEN.encode()),
        ({"HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}, b'{"token": "th_' + b"b" * 43 + b'"}'),
        ({}, b"key=" + TOKEN.encode() + b"\n"),
    ],
)
def test_a_sender_is_told_by_the_token_wherever_it_stands(environ, body):
    sender = sender_of_request({"REMOTE_ADDR": "192.0.2.1"} | environ, body, ())

    assert sender == Sender(digest_of(TOKEN), "192.0.2.1")


@pytest.mark.parametrize("body", [b"", b"th_short", b"\xff\xfe{", b" " * 70_000 + TOKEN.encode()])
def test_a_request_without_a_token_is_told_by_its_address(body):
    meta = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.7"}

    assert sender_of_request(meta, body, parse_networks(["10.0.0.1"])) == Sender("", "192.0.2.7")


def test_the_tokens_not_used_for_longest_are_forgotten_first():
    tokens = KnownTokens(at_most=2)
    for digest, owner in (("a1", ALICE), ("b1", BOB), ("a1", ALICE), ("a2", ALICE)):
        tokens.learn(digest, owner)

    groups = [tokens.group_of(sender) for sender in (A1, A2, B1)]

    assert groups == [Group(ALICE, "a1"), Group(ALICE, "a2"), Group(0, "10.0.0.1")]


def test_a_token_that_fails_is_a_strangers_again():
    tokens = known()

    tokens.forget("a1")

    assert tokens.group_of(A1) == Group(0, "10.0.0.1")
