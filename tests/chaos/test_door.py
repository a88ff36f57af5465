"""What clients that never end a request, or never begin one, cost the others: at the product's own server, over TLS."""

import json
import socket
import ssl
from contextlib import ExitStack

import pytest

from tests.chaos.stack import Stack
from tradehub.http.door import UNFINISHED_PER_ADDRESS

HEAD = "POST /api/webhook HTTP/1.1\r\nHost: localhost\r\n"
SILENT = 300


@pytest.fixture(scope="module")
def stack(database_url):
    with Stack(database_url) as stack:
        yield stack


@pytest.fixture(scope="module")
def server(stack):
    with stack.product_server(WEBHOOK_ALLOWED_SENDERS="127.0.0.1, 127.0.0.2") as server:
        yield server


def connect(server, source="127.0.0.1", *, is_tls=True):
    plain = socket.create_connection(("127.0.0.1", server.port), 20, (source, 0))
    if not is_tls:
        return plain
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname="localhost")


def exchange(server, request, source="127.0.0.1"):
    """What the server answers to bytes after which nothing more comes: status and body."""
    with connect(server, source) as connection:
        connection.sendall(request)
        connection.settimeout(20)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ("Content-Length: 70000\r\nConnection: close", b"", 413, "payload_too_large"),
        ("Content-Length: 99999999999\r\nConnection: close", b"{", 413, "payload_too_large"),
        ("Transfer-Encoding: chunked", b"zz\r\n", 400, None),
        ("Transfer-Encoding: chunked", b"5\r\nabcdefgh", 400, None),
        ("Content-Length: abc", b"", 400, None),
    ],
)
def test_a_body_that_cannot_be_is_refused_before_it_is_here(server, headers, body, status, code):
    answered, content = exchange(server, f"{HEAD}{headers}\r\n\r\n".encode() + body)

    assert answered == status
    if code:
        assert json.loads(content)["code"] == code


def test_who_may_not_send_is_refused_before_the_body_is_here(server):
    request = f"{HEAD}Content-Length: 1000\r\nConnection: close\r\n\r\n".encode()

    status, content = exchange(server, request, source="127.0.0.9")

    assert (status, json.loads(content)["code"]) == (403, "sender_not_allowed")


def test_a_log_in_of_more_than_64_kib_is_refused_before_it_is_here(server):
    head = "POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\nConnection: close\r\n\r\n"

    assert exchange(server, head.encode())[0] in (400, 403, 413)


def test_unfinished_and_silent_connections_of_one_address_stop_no_alert(server, stack):
    desk = stack.seed({"name": "desk", "accounts": 1})[0]
    with ExitStack() as opened:
        for _ in range(UNFINISHED_PER_ADDRESS + 3):
            connection = opened.enter_context(connect(server, "127.0.0.2"))
            connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n{{".encode())
            connection.setblocking(False)
        for _ in range(SILENT):
            opened.enter_context(connect(server, "127.0.0.2", is_tls=False))

        answer = stack.deliver(desk.alert({"order_type": "CANCEL_ALL_ORDER"}), port=server.port, is_tls=True)

        assert answer.status == 200
