"""What the REST API shows to whom: everyone their own rows, and nobody anything else."""

import base64
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orders.models import Order, Position, Trade
from orders.pages import SealedCursors
from strategies.models import ApiToken
from tests.desk import BTC_LIMIT, BTC_MARKET, open_desk
from tests.factories import AccountFactory, SubscriptionFactory, issue_api_token

pytestmark = pytest.mark.django_db(transaction=True)

PATHS = ["/api/orders/", "/api/trades/", "/api/positions/"]
MODELS = {"/api/orders/": Order, "/api/trades/": Trade, "/api/positions/": Position}


@pytest.fixture
def traded(deliver, paper, alice, bob, charlie):
    """One filled order each on alice's A1 and on bob's S1."""
    desk = open_desk(paper, "A1", group_name="follow1", is_public=True, capital=1_000_000)
    SubscriptionFactory(user=bob, strategy=desk.strategy)
    desk.add(AccountFactory(owner=bob, name="S1"), capital=1_000_000)
    assert deliver(desk.alert(BTC_MARKET)).json()["summary"]["successful_trades"] == 2
    return desk


def as_user(user):
    return {"HTTP_AUTHORIZATION": f"Token {issue_api_token(user)}"}


@pytest.mark.parametrize("path", PATHS)
def test_everyone_sees_their_own_rows_only(client, traded, alice, bob, charlie, path):
    seen = {
        user.username: [row["account"] for row in client.get(path, **as_user(user)).json()["results"]]
        for user in (alice, bob, charlie)
    }

    assert seen == {"alice": ["A1"], "bob": ["S1"], "charlie": []}


@pytest.mark.parametrize("path", PATHS[:2])
def test_others_rows_do_not_exist(client, traded, alice, bob, path):
    (row,) = client.get(path, **as_user(alice)).json()["results"]
    address = f"{path}{row['id']}/"

    assert client.get(address, **as_user(alice)).json() == row
    response = client.get(address, **as_user(bob))
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", PATHS)
def test_no_id_and_no_page_counts(client, deliver, traded, alice, path, monkeypatch):
    """Neither ids nor cursors tell how many rows there are of everybody."""
    deliver(traded.alert(BTC_LIMIT))
    deliver(traded.alert(BTC_MARKET, symbol="ETH/USDT"))
    page = client.get(f"{path}?limit=1", **as_user(alice)).json()
    cursor = parse_qs(urlsplit(page["next"]).query)["cursor"][0]
    row = MODELS[path].objects.visible_to(alice.pk).first()

    assert "id" not in page["results"][0] or len(page["results"][0]["id"]) >= 32
    assert f"{row.pk}" not in str(base64.urlsafe_b64decode(cursor + "=="))[:6]
    for made in (b"p=1", f"p={row.pk}".encode()):
        again = client.get(path, {"cursor": base64.b64encode(made).decode()}, **as_user(alice))
        assert (again.status_code, again.json()["code"]) == (400, "invalid_filter")
    assert client.get(f"{path}{row.pk}/", **as_user(alice)).status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_nobody_reads_without_a_token(client, traded, path):
    response = client.get(path)

    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
    assert response.json()["success"] is False


@pytest.mark.parametrize("path", PATHS)
def test_a_webhook_token_opens_no_rows(client, traded, path):
    response = client.get(path, HTTP_AUTHORIZATION=f"Token {traded.token}")

    assert (response.status_code, response.json()["code"]) == (401, "authentication_failed")


def test_wrong_tokens_of_an_address_are_counted_and_right_tokens_pass(client, db, alice, deliver, settings):
    settings.WEBHOOK_FAILED_AUTH_PER_MINUTE = 3
    wrong = {"HTTP_AUTHORIZATION": f"Token tr_{'x' * 43}"}

    answers = [client.get("/api/orders/", **wrong) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert answers[-1].json()["code"] == "throttled"
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60
    assert client.get("/api/orders/", **as_user(alice)).status_code == 200
    assert client.get("/api/orders/", **wrong, REMOTE_ADDR="192.0.2.9").status_code == 401
    # One count for both doors: who guesses tokens here does not begin anew at the webhook.
    guess = {"group_name": "test1", "token": "th_" + "x" * 43, **BTC_LIMIT}
    assert deliver(guess).status_code == 429


def revoke(token):
    ApiToken.objects.update(revoked_at=timezone.now())


def expire(token):
    ApiToken.objects.update(expires_at=timezone.now())


def leave(token):
    User.objects.update(is_active=False)


@pytest.mark.parametrize("change", [revoke, expire, leave])
def test_a_token_that_has_ended_opens_no_rows(client, traded, alice, change):
    headers = as_user(alice)
    assert client.get("/api/orders/", **headers).status_code == 200

    change(headers)

    assert client.get("/api/orders/", **headers).status_code == 401


@pytest.mark.parametrize(
    "header", ["Token", "Token ", "Token x y", "Token tr_", "Token a\x00b", "Token 한글", "Bearer x", "x"]
)
def test_no_header_breaks_the_answer(client, db, header):
    assert client.get("/api/orders/", HTTP_AUTHORIZATION=header).status_code == 401


def test_an_api_token_opens_no_webhook(deliver, traded, alice):
    assert deliver(traded.alert(BTC_MARKET, token=issue_api_token(alice))).status_code == 401


def test_use_of_a_token_is_noted_once_a_minute(client, traded, alice, django_assert_num_queries):
    headers = as_user(alice)
    before = timezone.now()

    client.get("/api/orders/", **headers)
    first = ApiToken.objects.get().last_used_at
    client.get("/api/orders/", **headers)

    assert before <= first == ApiToken.objects.get().last_used_at
    ApiToken.objects.update(last_used_at=before - timedelta(minutes=1))
    client.get("/api/orders/", **headers)
    assert ApiToken.objects.get().last_used_at >= first


def test_a_token_is_kept_as_a_digest_only(client, traded, alice):
    clear = issue_api_token(alice)

    (row,) = ApiToken.objects.values()

    assert clear not in repr(row)
    assert clear[11:] not in repr(row)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_rows_are_to_be_read_only(client, traded, alice, path, method):
    response = getattr(client, method)(path, **as_user(alice))

    assert response.status_code == 405


def test_a_filter_narrows_and_never_widens(client, traded, bob):
    found = client.get("/api/orders/?account=S1&status=filled", **as_user(bob)).json()["results"]
    others = client.get("/api/orders/?account=A1", **as_user(bob)).json()["results"]

    assert [row["account"] for row in found] == ["S1"]
    assert others == []


@pytest.mark.parametrize(
    ("path", "query", "code", "named"),
    [
        ("/api/orders/", "sides=buy", "unknown_filter", "side, status, strategy"),
        ("/api/orders/", "side=up", "invalid_filter", "buy, sell"),
        ("/api/orders/", "status=opened", "invalid_filter", "open, failed, unknown, initialized"),
        ("/api/orders/", "status=", "invalid_filter", "open"),
        ("/api/orders/", "status=open&status=filled", "invalid_filter", "once"),
        ("/api/orders/", "order_type=ICEBERG", "invalid_filter", "LIMIT"),
        ("/api/orders/", "symbol=BTCUDST", "invalid_filter", "BTCUSDT"),
        ("/api/orders/", "limit=0", "invalid_filter", "500"),
        ("/api/orders/", "limit=501", "invalid_filter", "500"),
        ("/api/orders/", "limit=%EF%BC%91", "invalid_filter", "500"),
        ("/api/orders/", "limit=10000000000000000000000", "invalid_filter", "500"),
        ("/api/orders/", "cursor=x", "invalid_filter", "next"),
        ("/api/orders/", "offset=5", "unknown_filter", "cursor"),
        ("/api/trades/", "status=open", "unknown_filter", "client_order_id"),
        ("/api/positions/", "side=buy", "unknown_filter", "symbol"),
    ],
)
def test_a_filter_that_cannot_be_used_is_refused_with_those_that_can(
    client, traded, alice, path, query, code, named
):
    response = client.get(f"{path}?{query}", **as_user(alice), HTTP_ACCEPT_LANGUAGE="en")

    assert (response.status_code, response.json()["code"]) == (400, code)
    assert named in response.json()["error"]


def test_filters_do_what_their_names_say(client, deliver, traded, alice):
    deliver(traded.alert(BTC_LIMIT))
    Order.objects.filter(status="accepted").update(unknown_since=timezone.now())

    def found(query):
        rows = client.get(f"/api/orders/?{query}", **as_user(alice)).json()["results"]
        return [(row["order_type"], row["unknown_since"] is not None) for row in rows]

    resting, filled = ("LIMIT", True), ("MARKET", False)
    assert found("status=open") == found("status=unknown") == found("order_type=limit") == [resting]
    assert found("status=FILLED") == found("order_type=MARKET") == [filled]
    assert found("status=failed") == found("side=sell") == found("symbol=ETH/USDT:USDT") == []
    both = found("side=BUY")
    assert (
        both
        == found("symbol=BTCUSDT")
        == found("symbol=btc/usdt:usdt")
        == found("limit=2")
        == [resting, filled]
    )


@pytest.mark.parametrize(
    "path", ["/api/", "/api/nothing", "/api/order/", "/api/orders/1/2", "/api/positions/1/"]
)
@pytest.mark.parametrize("method", ["get", "post", "delete", "options"])
def test_an_unknown_address_is_refused_as_json(client, db, path, method):
    response = getattr(client, method)(path)

    assert (response.status_code, response["Content-Type"]) == (404, "application/json")
    body = response.json()
    assert body.pop("error")
    assert body == {"success": False, "code": "not_found", "webhook_id": None}


def test_amounts_are_exact_text(client, traded, alice):
    (order,) = client.get("/api/orders/", **as_user(alice)).json()["results"]
    (position,) = client.get("/api/positions/", **as_user(alice)).json()["results"]

    assert (order["quantity"], order["filled"], order["average"]) == ("0.526", "0.526", "95000")
    assert (position["quantity"], position["entry_price"], position["fees"]) == ("0.526", "95000", "24.985")


def test_pages_follow_one_another_and_new_rows_move_none(client, deliver, traded, alice, monkeypatch):
    monkeypatch.setattr(SealedCursors, "page_size", 1)
    deliver(traded.alert(BTC_LIMIT))
    shown, address = [], "/api/orders/"
    while address:
        page = client.get(address, **as_user(alice)).json()
        shown += [row["id"] for row in page["results"]]
        if len(shown) == 1:
            before = Order.objects.filter(account__owner=alice).order_by("-pk")
            expected = list(before.values_list("client_order_id", flat=True))
            deliver(traded.alert(BTC_LIMIT))
        address = page["next"]

    assert shown == expected
