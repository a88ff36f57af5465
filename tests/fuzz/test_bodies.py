"""Whatever is posted, parsing ends in a delivery or in a WebhookError, and the view never in a 5xx."""

import json
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.engine import fuzz
from webhooks.errors import WebhookError
from webhooks.message.payload import parse_delivery

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["NaN", "", "-100", "-100.01", "0", "1e30", "1E-30", "9" * 41, "0x10", "１", "\x00", "\ud800"]
    ),
    st.sampled_from(
        ["buy", "LONG", "market", "Stop_Limit", "CANCEL", "CANCEL_ALL_ORDER", "BINANCE:BTCUSDT.P", "BTC/USDT"]
    ),
    st.sampled_from(
        ["-0.5%", "+10 ticks", "-100d", "-100%", "+1e9%", "+0.5 ticks", "+100", "-" + "9" * 41 + "d"]
    ),
    st.from_regex(r"[+-]?[0-9.]{0,45} ?(%|d|ticks?)", fullmatch=True),
    st.sampled_from(["2026-11-22T00:00:00Z", "1790000000", "1790000000000", "-1", "9" * 30, "2026-13-01"]),
)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
LEG = {"symbol": "BTC/USDT", "side": "buy", "order_type": "LIMIT", "price": "90000", "qty_per": 5}
LEG_NAMES = [*LEG, "stop_price", "qty", "priority", "order_id", "dry_run", "note"]
TOP_NAMES = [*LEG_NAMES, "group_name", "token", "orders", "id", "alert_id", "timestamp", "timenow"]


def changed(row: dict[str, Any], names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """The row with some fields replaced or left out, and its keys in any case."""

    @st.composite
    def build(draw: Any) -> dict[str, Any]:
        copy = dict(row)
        for name in draw(st.lists(st.sampled_from(names), max_size=3)):
            value = draw(st.one_of(scalars, scalars, junk))
            if draw(st.booleans()):
                copy[name.upper() if draw(st.booleans()) else name] = value
            else:
                copy.pop(name, None)
        return copy

    return build()


def bodies(token: str) -> st.SearchStrategy[bytes]:
    alert = {"group_name": "test1", "token": token, **LEG}
    many = st.lists(st.one_of(changed(LEG, LEG_NAMES), junk), max_size=3)
    batch = many.map(lambda legs: {"group_name": "test1", "token": token, "orders": legs})
    said = st.one_of(changed(alert, TOP_NAMES), batch, junk)
    return st.one_of(
        *[said.map(lambda value: json.dumps(value).encode())] * 3,
        said.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
        said.map(lambda value: json.dumps(value).encode()[:-2]),
        st.binary(max_size=60),
        st.sampled_from(
            [b"[" * 60_000, b'{"a":' * 10_000, b"9" * 60_000, b'{"price":' + b"9" * 60_000 + b"}"]
        ),
    )


def check_refusal(error: WebhookError) -> None:
    assert 400 <= error.http_status < 500
    assert error.text


def test_no_body_is_too_strange_to_parse():
    def check(body: bytes) -> None:
        try:
            delivery = parse_delivery(body, bearer=None, max_bytes=65536, max_legs=30)
        except WebhookError as error:
            check_refusal(error)
        else:
            assert "token" not in delivery.content
            json.dumps(delivery.content)

    fuzz(check, bodies("th_" + "x" * 43))


headers = st.fixed_dictionaries(
    {},
    optional={
        "HTTP_AUTHORIZATION": st.one_of(
            st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=80),
            st.text(max_size=50).map(lambda text: f"Bearer th_{text!a}"),
            st.sampled_from(["Bearer", "Bearer ", "bearer th_", "Basic eA==", "Bearer " + "x" * 5000]),
        ),
        "HTTP_X_FORWARDED_FOR": st.text(st.characters(max_codepoint=255), max_size=40),
        "HTTP_ACCEPT_LANGUAGE": st.text(st.characters(max_codepoint=255), max_size=20),
        "CONTENT_TYPE": st.text(st.characters(max_codepoint=255), max_size=20),
        "HTTP_WEBHOOK_ID": st.text(st.characters(max_codepoint=255), max_size=20),
        "HTTP_WEBHOOK_SIGNATURE": st.text(st.characters(max_codepoint=255), max_size=20),
        "HTTP_WEBHOOK_TIMESTAMP": st.text(st.characters(max_codepoint=255), max_size=20),
    },
)


@pytest.mark.django_db(transaction=True)
def test_no_request_is_answered_with_a_server_error(client, paper, test1, settings):
    settings.WEBHOOK_FAILED_AUTH_PER_MINUTE = settings.WEBHOOK_TOKEN_RATE_PER_MINUTE = 10**6
    settings.WEBHOOK_ANSWER_BUDGET_MS = 50
    paper.fault(path="/fapi/v1/order", action="code", value=-2019, times=None)  # nothing piles up there

    def check(request: tuple[bytes, dict[str, str]]) -> None:
        body, more = request
        kind = more.pop("CONTENT_TYPE", "application/json")
        response = client.post("/api/webhook", body, content_type=kind, **more)
        assert response.status_code < 500
        assert response["Content-Type"] == "application/json"
        answer = response.json()
        assert answer["success"] is (response.status_code == 200)
        assert test1.token not in response.content.decode()

    fuzz(check, st.tuples(bodies(test1.token), headers))
