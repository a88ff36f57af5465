"""What the REST API shows to whom: everyone their own rows, and nobody anything else."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orders.api import NewestFirst
from orders.models import Order, Position, Trade
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


@pytest.mark.parametrize("path", PATHS)
def test_others_rows_do_not_exist(client, traded, alice, bob, path):
    rows = MODELS[path].objects.visible_to(alice.pk)
    address = f"{path}{rows.get().pk}/"

    assert client.get(address, **as_user(alice)).status_code == 200
    response = client.get(address, **as_user(bob))
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", PATHS)
def test_nobody_reads_without_a_token(client, traded, path):
    response = client.get(path)

    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
    assert response.json()["success"] is False


@pytest.mark.parametrize("path", PATHS)
def test_a_webhook_token_opens_no_rows(client, traded, path):
    response = client.get(path, HTTP_AUTHORIZATION=f"Token {traded.token}")

    assert (response.status_code, response.json()["code"]) == (401, "authentication_failed")


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


def test_amounts_are_exact_text(client, traded, alice):
    (order,) = client.get("/api/orders/", **as_user(alice)).json()["results"]
    (position,) = client.get("/api/positions/", **as_user(alice)).json()["results"]

    assert (order["quantity"], order["filled"], order["average"]) == ("0.526", "0.526", "95000")
    assert (position["quantity"], position["entry_price"], position["fees"]) == ("0.526", "95000", "24.985")


def test_pages_follow_one_another_and_new_rows_move_none(client, deliver, traded, alice, monkeypatch):
    monkeypatch.setattr(NewestFirst, "page_size", 1)
    deliver(traded.alert(BTC_LIMIT))
    shown, address = [], "/api/orders/"
    while address:
        page = client.get(address, **as_user(alice)).json()
        shown += [row["id"] for row in page["results"]]
        if len(shown) == 1:
            deliver(traded.alert(BTC_LIMIT))
        address = page["next"]

    assert shown == sorted(shown, reverse=True)
    assert len(shown) == Order.objects.filter(account__owner=alice).count() - 1
