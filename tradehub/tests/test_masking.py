import logging
import sys

import pytest
from django.conf import settings

from tradehub.masking import MaskingFormatter, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /order?symbol=BTCUSDT&signature=abc123&x=1", "GET /order?symbol=BTCUSDT&signature=***&x=1"),
        ("token th_AbCd-_efgh was sent", "token th_*** was sent"),
        ("whsec_AbC+/d= is one", "whsec_*** is one"),
        ('{"apiKey": "abc", "secret":"def"}', '{"apiKey": "***", "secret":"***"}'),
        ("{'password': 'x y'}", "{'password': '*** y'}"),
        ("order=th0123456789abcdef token=5", "order=th0123456789abcdef token=5"),
        ("batch resumed batch=5 from=host:1", "batch resumed batch=5 from=host:1"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text, shown):
    assert masked(text) == shown


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


def test_a_token_in_a_url_reaches_no_handler(client, db, caplog):
    client.get("/api/webhook/th_abcdefgh12345678")

    (record,) = [record for record in caplog.records if record.name == "django.request"]
    assert record.getMessage() == "Not Found: /api/webhook/th_***"
    assert "th_abcdefgh" not in repr(vars(record))
