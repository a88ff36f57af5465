import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tradehub.demo.client import Address


class Mirror(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200 if self.path == "/up" else 503, b"{}")

    def do_POST(self):
        self.answer(200, self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def mirror():
    with HTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Address("http", "127.0.0.1", server.server_port)
        server.shutdown()
        thread.join()


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Address("http", "127.0.0.1", probe.getsockname()[1])


def test_a_port_that_something_listens_on_is_not_free(mirror):
    assert not mirror.is_free()


def test_a_port_that_nothing_listens_on_is_free():
    assert free_address().is_free()


def test_json_goes_there_and_back(mirror):
    assert mirror.call("POST", "/", {"a": ["1"]}) == (200, {"a": ["1"]})


def test_only_200_counts_as_an_answer(mirror):
    assert mirror.answers("/up")
    assert not mirror.answers("/not-yet")
    assert not free_address().answers("/up")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:5002", Address("http", "127.0.0.1", 5002)),
        ("http://localhost", Address("http", "localhost", 80)),
        ("https://localhost/", Address("https", "localhost", 443)),
    ],
)
def test_an_address_is_read_from_its_url(url, address):
    assert Address.of(url) == address
