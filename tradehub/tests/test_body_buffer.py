import asyncio
import json
import threading
from contextlib import suppress

import pytest

from strategies.tokens import digest_of
from tradehub.http.api_errors import crowded_answer
from tradehub.http.body_buffer import BufferedWSGI
from tradehub.http.door import Door
from tradehub.http.sender_turns import Sender
from webhooks.answering.deferral import ARRIVED, DEFERRED, PROVED, SETTLED

SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "POST",
    "scheme": "https",
    "path": "/api/웹훅",
    "query_string": b"a=1",
    "headers": [(b"host", b"localhost"), (b"content-type", b"text/plain"), (b"content-length", b"5")],
    "server": ("127.0.0.1", 5001),
    "client": ("10.0.0.9", 4242),
}


class Echo:
    """Remembers the environ and the body; answers with the body."""

    def __init__(self):
        self.environ, self.body, self.closed_in = None, None, None

    def __call__(self, environ, start_response):
        self.environ = environ
        self.body = environ["wsgi.input"].read()
        start_response("201 Created", [("X-Word", "value")])
        return Answer(self, [self.body])


class Answer(list):
    def __init__(self, echo, parts):
        super().__init__(parts)
        self.echo = echo

    def close(self):
        self.echo.closed_in = threading.current_thread().name


def drive(application, *events, scope=SCOPE, pause_s=0):
    """What a server that delivers these events is sent back."""
    waiting, sent = list(events), []

    async def receive():
        if not waiting:
            await asyncio.sleep(pause_s)
        return waiting.pop(0)

    async def send(event):
        sent.append(event)

    asyncio.run(application(scope, receive, send))
    return sent


def buffered(application, **changes):
    return BufferedWSGI(application, **{"threads": 2, "max_bytes": 10, "body_timeout_s": 5} | changes)


def part(body, *, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


def test_the_application_gets_the_whole_body_and_its_answer_goes_back():
    echo = Echo()

    sent = drive(buffered(echo), part(b"he", more=True), part(b"llo"))

    assert echo.body == b"hello"
    assert sent == [
        {"type": "http.response.start", "status": 201, "headers": [(b"x-word", b"value")]},
        {"type": "http.response.body", "body": b"hello"},
    ]


def test_the_environ_says_what_the_request_said():
    echo = Echo()

    drive(buffered(echo), part(b"hello"))

    expected = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/웹훅".encode().decode("latin1"),
        "QUERY_STRING": "a=1",
        "HTTP_HOST": "localhost",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "5",
        "REMOTE_ADDR": "10.0.0.9",
        "SERVER_PORT": "5001",
        "wsgi.url_scheme": "https",
    }
    assert {name: echo.environ[name] for name in expected} == expected


def test_a_body_without_content_length_has_its_real_length():
    echo = Echo()

    drive(buffered(echo), part(b"hello"), scope=SCOPE | {"headers": []})

    assert echo.environ["CONTENT_LENGTH"] == "5"


def test_a_header_with_an_underscore_cannot_pass_for_the_proxys():
    echo = Echo()
    headers = [(b"x_forwarded_proto", b"https"), (b"x-forwarded-for", b"1"), (b"x-forwarded-for", b"2")]

    drive(buffered(echo), part(b""), scope=SCOPE | {"headers": headers})

    assert "HTTP_X_FORWARDED_PROTO" not in echo.environ
    assert echo.environ["HTTP_X_FORWARDED_FOR"] == "1,2"


def test_reading_stops_once_the_body_is_too_large_for_the_application_to_accept():
    echo = Echo()

    unsized = SCOPE | {"headers": [header for header in SCOPE["headers"] if header[0] != b"content-length"]}
    parts = [part(b"ab", more=True), part(b"cdef", more=True), part(b"unread")]

    drive(buffered(echo, max_bytes=3), *parts, scope=unsized)

    assert echo.body == b"abcdef"
    assert int(echo.environ["CONTENT_LENGTH"]) > 3


def test_a_body_that_says_it_is_too_large_is_not_read():
    echo = Echo()

    drive(buffered(echo, max_bytes=3), pause_s=30)

    assert (echo.body, echo.environ["CONTENT_LENGTH"]) == (b"", "5")


def test_the_body_of_a_request_that_is_refused_anyway_is_not_read():
    echo = Echo()

    drive(buffered(echo, refuses_unread=lambda environ: environ["REMOTE_ADDR"] == "10.0.0.9"), pause_s=30)

    assert (echo.body, echo.environ["CONTENT_LENGTH"]) == (b"", "0")


def many(application, count, *, of=lambda number: "10.0.0.9", seconds=0.3):
    """The answers' statuses of `count` requests whose bodies never come; 0 for those that still wait."""

    async def run():
        async def one(number):
            sent = []

            async def receive():
                await asyncio.sleep(30)

            async def send(event):
                sent.append(event)

            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await application(SCOPE | {"client": (of(number), 1)}, receive, send)
            return sent[0]["status"] if sent else 0

        return await asyncio.gather(*(one(number) for number in range(count)))

    return asyncio.run(run())


def test_one_unfinished_request_too_many_of_an_address_is_ended():
    door = Door(per_address=3, grace_s=0.02)

    statuses = many(buffered(Echo(), door=door), 5)

    assert sorted(statuses) == [0, 0, 0, 408, 408]
    assert door.bytes_held == 0


def test_unfinished_requests_are_counted_by_address_and_by_network():
    v4 = many(buffered(Echo(), door=Door(per_address=1, grace_s=0.02)), 3, of=lambda n: f"10.0.0.{n}")
    v6 = many(buffered(Echo(), door=Door(per_address=1, grace_s=0.02)), 3, of=lambda n: f"2001:db8::{n + 1}")
    all_in_all = many(
        buffered(Echo(), door=Door(per_address=9, at_most=2, grace_s=0.02)), 3, of=lambda n: f"10.0.0.{n}"
    )

    assert v4 == [0, 0, 0]
    assert sorted(v6) == [0, 408, 408]
    assert sorted(all_in_all) == [0, 0, 408]


def test_where_all_is_taken_the_longest_slow_request_gives_way_to_an_alert():
    """Many addresses hold all bytes by slow bodies: an alert from elsewhere gets in, and a slow body goes."""
    door = Door(bytes_at_most=10, grace_s=0.02)
    application, answers = buffered(Echo(), door=door), {}

    def sender(name, address, *, seconds):
        events = [part(b"abcde", more=name != "alert")]

        async def receive():
            if not events:
                await asyncio.sleep(30)
            return events.pop()

        async def send(event):
            answers.setdefault(name, event.get("status"))

        return asyncio.wait_for(application(SCOPE | {"client": (address, 1)}, receive, send), seconds)

    async def run():
        slow = [asyncio.create_task(sender(n, f"10.0.0.{n}", seconds=0.3)) for n in (1, 2)]
        await asyncio.sleep(0.1)
        await sender("alert", "10.0.9.9", seconds=5)
        await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(run())
    assert answers == {"alert": 201, 1: 408}
    assert door.bytes_held == 0


def test_one_address_holds_no_more_than_its_bytes():
    door = Door(bytes_per_address=4)

    sent = drive(buffered(Echo(), door=door), part(b"abcde"))

    assert sent[0]["status"] == 503


def test_bodies_that_come_at_once_are_never_unfinished():
    door = Door(per_address=0, grace_s=0.02)

    sent = drive(buffered(Echo(), door=door), part(b"abcde"))

    assert sent[0]["status"] == 201


def test_bodies_on_their_way_hold_a_bounded_number_of_bytes():
    door = Door(bytes_at_most=6)
    application = buffered(Echo(), door=door, crowded_answer=lambda environ: (503, [], b"come again"))

    async def run():
        held = asyncio.Event()

        async def slow():
            held.set()
            await asyncio.sleep(30)

        events = [part(b"abcde", more=True)]

        async def receive():
            return events.pop() if events else await slow()

        async def nothing(event):
            pass

        first = asyncio.create_task(application(SCOPE, receive, nothing))
        await held.wait()
        sent = []

        async def send(event):
            sent.append(event)

        async def two():
            return part(b"xy")

        await application(SCOPE, two, send)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        return sent

    sent = asyncio.run(run())
    assert (sent[0]["status"], sent[1]["body"]) == (503, b"come again")
    assert (b"connection", b"close") in sent[0]["headers"]
    assert door.bytes_held == 0


def test_a_client_that_dribbles_gets_408_and_never_a_thread():
    echo = Echo()

    sent = drive(buffered(echo, body_timeout_s=0.05), part(b"a", more=True), pause_s=30)

    assert sent[0]["status"] == 408
    assert echo.environ is None


def test_a_client_that_leaves_early_changes_nothing():
    echo = Echo()

    sent = drive(buffered(echo), part(b"a", more=True), {"type": "http.disconnect"})

    assert [event.get("status") for event in sent] == [
        400,
        None,
    ]  # to nobody, or to who sent a malformed chunk
    assert echo.environ is None


def test_the_answer_is_closed_in_the_thread_that_made_it():
    echo = Echo()

    drive(buffered(echo), part(b""))

    assert echo.closed_in.startswith("web")


def test_a_fault_of_the_application_reaches_the_server():
    def broken(environ, start_response):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drive(buffered(broken), part(b""))


def test_startup_and_shutdown_are_acknowledged():
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    sent = drive(buffered(Echo()), *events, scope={"type": "lifespan"})

    assert [event["type"] for event in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_websocket_is_refused():
    with pytest.raises(ValueError, match="No application for websocket"):
        drive(buffered(Echo()), scope={"type": "websocket"})


# Turns


TOKEN = b"th_" + b"a" * 43


class Knows:
    """Takes every token for one of the user 7, until `status` says otherwise."""

    def __init__(self):
        self.status = "200 OK"

    def __call__(self, environ, start_response):
        if self.status.startswith("200"):
            environ[PROVED] = digest_of(TOKEN.decode()), 7
        start_response(self.status, [])
        return [b""]


def test_the_server_knows_a_token_that_was_right_until_it_fails():
    knows = Knows()
    application = buffered(knows, max_bytes=100)
    sender = Sender(digest_of(TOKEN.decode()), "10.0.0.9")

    owners = []
    for status in ("403 Forbidden", "200 OK", "400 Bad Request", "401 Unauthorized"):
        knows.status = status
        drive(application, part(TOKEN))
        owners.append(application.known.group_of(sender).owner)

    assert owners == [0, 7, 7, 0]


@pytest.mark.django_db
def test_what_comes_when_too_much_waits_is_told_to_come_again(caplog):
    echo = Echo()
    application = buffered(echo, waiting_at_most=0, crowded_answer=crowded_answer)
    scope = SCOPE | {"headers": [(b"accept-language", b"en")]}

    answers = [drive(application, part(b""), scope=scope) for _ in range(2)]

    for start, body in answers:
        assert start["status"] == 503
        assert dict(start["headers"])[b"retry-after"] == b"5"
        assert json.loads(body["body"]) == {
            "success": False,
            "error": "The message could not be stored. Please send it again. "
            "(too many messages of this sender are waiting)",
            "code": "unavailable",
            "webhook_id": None,
        }
    assert echo.environ is None
    assert caplog.messages == ["requests refused, too many wait owner=0 address=10.0.0.9"]


def test_a_refusal_without_words_is_503_too():
    assert drive(buffered(Echo(), waiting_at_most=0), part(b""))[0]["status"] == 503


# Deferred answers


class Promise:
    """An answer that is ready once `act` has run on a thread of the server."""

    def __init__(self, act=lambda: None):
        self.act, self.settled_in = act, None

    async def settle(self, in_thread):
        await in_thread(self.act)
        self.settled_in = threading.current_thread().name


class Deferring:
    """Answers at the second call, with what the promise said."""

    def __init__(self, promise):
        self.promise, self.calls = promise, []

    def __call__(self, environ, start_response):
        self.calls.append(environ)
        settled = environ.get(SETTLED)
        start_response("200 OK", [])
        if settled is None:
            environ[DEFERRED] = self.promise
            return [b"dropped"]
        assert settled is self.promise
        return [b"answered"]


def test_a_deferred_answer_is_awaited_and_asked_for_again():
    application = Deferring(Promise())

    sent = drive(buffered(application), part(b"hello"))

    assert sent[1]["body"] == b"answered"
    assert [SETTLED in environ for environ in application.calls] == [False, True]
    assert application.promise.settled_in == threading.main_thread().name  # where the loop runs
    assert application.calls[0][ARRIVED] > 0


def test_more_answers_can_wait_than_there_are_threads():
    class Waiting(Promise):
        async def settle(self, in_thread):
            waiting.append(self)
            while len(waiting) < 20:
                await asyncio.sleep(0.001)

    waiting = []
    application = buffered(deferring_each(Waiting))

    async def all_at_once():
        async def one():
            events, sent = [part(b"hello")], []

            async def receive():
                return events.pop(0)

            async def send(event):
                sent.append(event)

            await application(SCOPE, receive, send)
            return sent

        return await asyncio.gather(*[one() for _ in range(20)])

    assert all(sent[1]["body"] == b"answered" for sent in asyncio.run(all_at_once()))


def deferring_each(promise):
    """Each request has a promise of its own."""

    def application(environ, start_response):
        start_response("200 OK", [])
        if SETTLED in environ:
            return [b"answered"]
        environ[DEFERRED] = promise()
        return [b"dropped"]

    return application


def test_the_shutdown_waits_for_what_was_begun():
    drained = []

    sent = drive(
        buffered(Echo(), drain=lambda: drained.append(threading.current_thread().name)),
        {"type": "lifespan.startup"},
        {"type": "lifespan.shutdown"},
        scope={"type": "lifespan"},
    )

    assert [event["type"] for event in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert drained[0].startswith("web-answer")  # on a thread: the loop goes on answering meanwhile
