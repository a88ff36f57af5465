"""What a person is told when the demo cannot start."""

import socket

import pytest
from django.core.management import CommandError, call_command

from tradehub.demo.run import Demo, PortTaken


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def free():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def test_a_port_of_the_web_server_that_is_taken_is_named_with_what_to_do(settings, taken, free):
    settings.WEB_PORT, settings.PAPER_EXCHANGE_URL = taken, f"http://127.0.0.1:{free}"

    with pytest.raises(PortTaken) as raised:
        Demo(print).run()

    assert str(raised.value) == (
        f"Port {taken} is in use, and the web server needs it. Stop what listens there "
        "(perhaps another ./script/demo), or set WEB_PORT in .env."
    )


def test_a_port_of_the_paper_exchange_that_is_taken_ends_the_command_with_what_to_do(settings, taken, free):
    settings.WEB_PORT, settings.PAPER_EXCHANGE_URL = free, f"http://127.0.0.1:{taken}"

    with pytest.raises(
        CommandError,
        match=rf"Port {taken} is in use, and the paper exchange needs it.*"
        r"PAPER_EXCHANGE_URL in \.env",
    ):
        call_command("demo")
