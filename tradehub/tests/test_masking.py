import logging
import sys
import time

import pytest
from django.conf import settings
from django.test import Client

from tradehub.masking import MaskingFormatter, mask_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /order?symbol=BTCUSDT&signature=abc123&x=1", "GET /order?symbol=BTCUSDT&signature=***&x=1"),
        ("token th_AbCd-_efgh was sent", "token th_*** was sent"),
        ("Authorization: Token tr_AbCd-_efgh", "Authorization: Token ***"),
        ("authorization=Basic dXNlcjpwYXNz x", "authorization=Basic ***"),
        (
            "{'HTTP_AUTHORIZATION': 'Bearer abc.def', 'A': 'b'}",
            "{'HTTP_AUTHORIZATION': 'Bearer ***', 'A': 'b'}",
        ),
        ("with bearer abcdefgh12345", "with bearer ***"),
        ("the bearer of this", "the bearer of this"),
        ("Cookie: sessionid=abc; csrftoken=def\nHost: x", "Cookie: ***\nHost: x"),
        ("{'HTTP_COOKIE': '__Host-sessionid=abc; a=b', 'B': 'c'}", "{'HTTP_COOKIE': '***', 'B': 'c'}"),
        ("Set-Cookie: __Host-csrftoken=abc; Path=/", "Set-Cookie: ***"),
        (
            "sent __Host-sessionid=abc12 and csrfmiddlewaretoken=xyz&a=b",
            "sent __Host-sessionid=*** and csrfmiddlewaretoken=***&a=b",
        ),
        (
            "no such database: postgres://hub:pa:ss/w@rd@db.example:5432/hub?x=1",
            "no such database: postgres://***@db.example:5432/hub?x=1",
        ),
        ("rediss://:word@cache/0 redis://cache/1", "rediss://***@cache/0 redis://cache/1"),
        ("https://ghp_abc@example.org/x and a@b.example", "https://***@example.org/x and a@b.example"),
        ("host=db user=hub password=word dbname=hub", "host=db user=hub password=*** dbname=hub"),
        ("passphrase: correct horse battery; a=b", "passphrase: ***; a=b"),
        ("OKX-ACCESS-PASSPHRASE='two words' x", "OKX-ACCESS-PASSPHRASE='***' x"),
        (
            "DB_PASSWORD=word SECRET_KEY=abc CREDENTIAL_KEYS=def=,ghi=",
            "DB_PASSWORD=*** SECRET_KEY=*** CREDENTIAL_KEYS=***",
        ),
        ("webhook-signature: v1,abc/def= x", "webhook-signature: *** x"),
        ("X-MBX-APIKEY: abc", "X-MBX-APIKEY: ***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.abc", "eyJ***"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
        ),
        ("signing secret unreadable token=5", "signing secret unreadable token=5"),
        (
            "key finding account=5 exchange=paper finding=may_withdraw",
            "key finding account=5 exchange=paper finding=may_withdraw",
        ),
        ("GET https://api.example/x?a=b@c", "GET https://api.example/x?a=b@c"),
        ("str_abcdefgh is none", "str_abcdefgh is none"),
        ("whsec_AbC+/d= is one", "whsec_*** is one"),
        ('{"apiKey": "abc", "secret":"def"}', '{"apiKey": "***", "secret":"***"}'),
        ("{'password': 'x y'}", "{'password': '***'}"),
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


UNSAFE = [
    "\n", "\r", "\r\n", "\x00", "\x08", "\x1b[2K\x1b[1A", "\x7f", "\x85", "\x9b31m", "\u2028",
    "\u2029", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800", "\U000e0041",
]  # fmt: skip


def formatted(message, *args, error=None):
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("n", logging.ERROR, "p", 1, message, args, exc_info)
    return MaskingFormatter("%(levelname)s %(message)s").format(record)


@pytest.mark.parametrize("unsafe", UNSAFE, ids=ascii)
def test_a_value_makes_no_line_of_its_own_and_moves_no_cursor(unsafe):
    value = f"before{unsafe}INFO forged account=1"

    lines = [formatted("group=%s", value), formatted(value), formatted("group=%(g)s", {"g": value})]

    for line in lines:
        assert line.startswith("ERROR ")
        assert line.encode()  # a stream can write it
        assert unsafe[0] not in line
        assert "forged account=1" in line
        assert len(line.splitlines()) == 1


def test_what_people_write_stays_as_it_is():
    text = "전략을 찾을 수 없습니다: Größe ✓ \t 🙂 C:\\new"

    assert formatted("%s", text) == f"ERROR {text}"


@pytest.mark.parametrize("unsafe", UNSAFE, ids=ascii)
def test_a_stack_trace_keeps_its_lines_and_none_passes_for_a_message(unsafe):
    try:
        try:
            int(f"inner{unsafe}ERROR forged")
        except ValueError as error:
            raise RuntimeError(f"outer{unsafe}ERROR forged") from error
    except RuntimeError as error:
        text = formatted("failed", error=error)

    first, *trace = text.split("\n")
    assert first == "ERROR failed"
    assert len(trace) > 8
    assert trace[0] == "| Traceback (most recent call last):"
    assert all(line.startswith("| ") for line in trace)
    assert not any(unsafe[0] in line for line in trace)
    assert len(text.splitlines()) == 1 + len(trace)
    assert any("int(f" in line for line in trace)


def test_masking_takes_time_by_length_only():
    """Patterns that try every start would need minutes for this."""
    hostile = ["a" * 200_000, "secret" * 30_000, "cookie" * 30_000, "a://" * 50_000, "password='" * 20_000]
    began = time.perf_counter()

    for text in hostile:
        mask_secrets(text)

    assert time.perf_counter() - began < 5


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
