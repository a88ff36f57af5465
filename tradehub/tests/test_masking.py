import logging
import sys

import pytest
from django.conf import settings
from django.test import Client

from tradehub.masking import MaskingFormatter, mask_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /order?symbol=BTCUSDT&signature=abc123&x=1", "GET /order?symbol=BTCUSDT&signature=***&x=1"),
        ("token th_AbCd-_efgh was sent", "token th_*** was sent"),
        ("Authorization: Token tr_AbCd-_efgh", "Authorization: Token tr_***"),
        ("str_abcdefgh is none", "str_abcdefgh is none"),
        ("whsec_AbC+/d= is one", "whsec_*** is one"),
        ('{"apiKey": "abc", "secret":"def"}', '{"apiKey": "***", "secret":"***"}'),
        ("{'password': 'x y'}", "{'password': '*** y'}"),
        ("order=th0123456789abcdef token=5", "order=th0123456789abcdef token=5"),
        ("batch resumed batch=5 from=host:1", "batch resumed batch=5 from=host:1"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text, shown):
    assert mask_secrets(text) == shown


def test_a_stack_trace_is_masked_too():
    formatter = MaskingFormatter("%(message)s")
    url = "https://api.example/order?signature=" + "abc123"
    try:
        int(url)
    except ValueError:
        record = logging.LogRecord("n", logging.ERROR, "p", 1, "failed %s", ("th_abcdefgh",), sys.exc_info())

    line = formatter.format(record)

    assert "failed th_***" in line
    assert "signature=***" in line
    assert "signature=abc123" not in line


def test_the_console_is_masked():
    assert settings.LOGGING["formatters"]["line"]["()"] == "tradehub.masking.MaskingFormatter"


def test_a_long_message_is_cut_and_its_stack_trace_is_not():
    formatter = MaskingFormatter("%(message)s")
    try:
        {}["9" * 3000]
    except KeyError:
        record = logging.LogRecord("n", logging.ERROR, "p", 1, "x%s", ("y" * 70_000,), sys.exc_info())

    message, trace = formatter.format(record).split("\n", 1)

    assert len(message) == 1000
    assert message.endswith("y…")
    assert "9" * 3000 in trace


@pytest.mark.parametrize("place", range(960, 1000))
def test_a_secret_at_the_cut_is_masked(place):
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "x" * place + " th_abcdefgh12345678" * 9, (), None)

    assert "th_abc" not in MaskingFormatter("%(message)s").format(record)


@pytest.fixture
def lines():
    """What every handler of the root sees."""
    seen = []
    handler = logging.Handler()
    handler.emit = seen.append
    logging.getLogger().addHandler(handler)
    yield seen
    logging.getLogger().removeHandler(handler)


def test_a_token_in_a_url_reaches_no_handler(client, db, lines):
    logging.getLogger("django.request").error("Internal Server Error: %s", "/api/webhook/th_abcdefgh12345678")

    (record,) = lines
    assert record.getMessage() == "Internal Server Error: /api/webhook/th_***"
    assert "th_abcdefgh" not in repr(vars(record))


def test_what_a_stranger_does_wrong_writes_no_line(client, db, lines):
    answers = [
        client.get("/api/webhook/th_abcdefgh12345678"),
        client.get("/api/orders/"),
        client.get("/", headers={"Host": "evil.example"}),
        Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x"}),
    ]

    assert [answer.status_code for answer in answers] == [404, 401, 400, 403]
    assert lines == []
