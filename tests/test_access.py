"""Who may trade, and what they are told (SPEC section 5)."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from exchanges.enums import MarketType
from exchanges.models import Account
from exchanges.vault import credentials_of
from orders.models import Order
from strategies.models import Strategy, StrategyAccount, Subscription, WebhookToken
from tests.desk import BTC_CLOSE, BTC_LIMIT, open_desk
from tests.factories import AccountFactory, StrategyFactory, SubscriptionFactory, issue_token
from tests.waiting import LONG_S

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def follow1(paper, alice, bob, charlie):
    """alice's public strategy on her A1 and, since bob subscribes, on his S1. charlie only has a look."""
    desk = open_desk(paper, "A1", group_name="follow1", is_public=True)
    SubscriptionFactory(user=bob, strategy=desk.strategy)
    desk.add(AccountFactory(owner=bob, name="S1"), capital=1_000_000)
    return desk


def revoke(desk, users):
    WebhookToken.objects.update(revoked_at=timezone.now())


def expire(desk, users):
    WebhookToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def scope_elsewhere(desk, users):
    WebhookToken.objects.update(strategy=StrategyFactory(market_type=MarketType.FUTURES))


def scope_here(desk, users):
    WebhookToken.objects.update(strategy=desk.strategy)


def make_private(desk, users):
    desk.strategy.is_public = False
    desk.strategy.save()


def end_subscription(desk, users):
    Subscription.objects.update(is_active=False)


def switch_off(name):
    def change(desk, users):
        users[name].is_active = False
        users[name].save()

    return change


def switch_strategy_account_off(desk, users):
    desk.strategy.strategy_accounts.filter(account__name="S1").update(is_active=False)


def nothing(desk, users):
    """The table's plain rows."""


BOTH, OWN, REFUSED = {"A1", "S1"}, {"A1"}, "invalid_token"
TABLE = [
    ("alice", nothing, BOTH),
    ("bob", nothing, {"S1"}),
    ("charlie", nothing, REFUSED),
    ("alice", revoke, REFUSED),
    ("bob", revoke, REFUSED),
    ("alice", expire, REFUSED),
    ("bob", expire, REFUSED),
    ("alice", scope_elsewhere, REFUSED),
    ("bob", scope_elsewhere, REFUSED),
    ("alice", scope_here, BOTH),
    ("bob", scope_here, {"S1"}),
    ("alice", make_private, OWN),
    ("bob", make_private, REFUSED),
    ("alice", end_subscription, OWN),
    ("bob", end_subscription, REFUSED),
    ("alice", switch_off("bob"), OWN),
    ("bob", switch_off("bob"), REFUSED),
    ("alice", switch_off("alice"), REFUSED),
    ("alice", switch_strategy_account_off, OWN),
    ("bob", switch_strategy_account_off, "no_accounts"),
]


@pytest.mark.parametrize(
    ("who", "change", "reached"),
    TABLE,
    ids=[f"{row[0]}-{row[1].__name__}-{i}" for i, row in enumerate(TABLE)],
)
def test_a_token_moves_the_accounts_that_the_table_gives_it(
    deliver, follow1, alice, bob, charlie, who, change, reached
):
    users = {"alice": alice, "bob": bob, "charlie": charlie}
    alert = follow1.alert(BTC_LIMIT, token=issue_token(users[who]))
    change(follow1, users)

    response = deliver(alert)

    moved = {name for name in ("A1", "S1") if follow1.ledger_orders(name)}
    if isinstance(reached, str):
        assert (response.json()["code"], moved) == (reached, set())
    else:
        assert (response.status_code, moved) == (200, reached)
        assert response.json()["summary"]["total_accounts"] == len(reached)


@pytest.mark.parametrize("alert", [BTC_LIMIT, BTC_CLOSE, {"order_type": "CANCEL_ALL_ORDER"}])
def test_an_owner_learns_of_a_subscribers_account_only_that_the_alert_was_sent_there(deliver, follow1, alert):
    answer = deliver(follow1.alert(alert)).json()

    other = answer["results"][-1]
    name = follow1.accounts["S1"].opaque_name
    assert other == {"account_name": name, "status": "sent", "error_code": None}
    assert "S1" not in str(answer)


def test_where_a_subscribers_result_stands_tells_nothing_of_the_accounts_name(deliver, follow1, bob):
    follow1.add(AccountFactory(owner=follow1.strategy.owner, name="Z9"), capital=1_000_000)
    follow1.add(AccountFactory(owner=bob, name="A0"), capital=1_000_000)
    # Their opaque names sort the other way round. The uid is what credentials are bound to: they are entered anew.
    for name, first in (("A0", "b"), ("S1", "a")):
        account = follow1.accounts[name]
        credentials = credentials_of(account)
        account.uid = UUID(first * 32)
        account.set_credentials(credentials)
        account.save()
    wanted = ["A1", "Z9", "subscriber-aaaaaaaa", "subscriber-bbbbbbbb"]

    placed = deliver(follow1.alert(BTC_LIMIT, id="1")).json()
    again = deliver(follow1.alert(BTC_LIMIT, id="1")).json()
    canceled = deliver(follow1.alert(order_type="CANCEL_ALL_ORDER")).json()

    for answer in (placed, again, canceled):
        assert [row["account_name"] for row in answer["results"]] == wanted


def test_a_subscriber_sees_all_of_their_own_and_nothing_of_the_owner(deliver, follow1, bob):
    answer = deliver(follow1.alert(BTC_LIMIT, token=issue_token(bob))).json()

    (own,) = answer["results"]
    assert own["account_name"] == "S1"
    assert own["quantity"] == "0.555"
    assert "A1" not in str(answer)


def test_a_subscriber_cancels_their_own_orders_only(deliver, follow1, bob):
    deliver(follow1.alert(BTC_LIMIT))

    deliver(follow1.alert(order_type="CANCEL_ALL_ORDER", token=issue_token(bob)))

    assert [row["status"] for row in follow1.ledger_orders("S1")] == ["CANCELED"]
    assert [row["status"] for row in follow1.ledger_orders("A1")] == ["NEW"]


def test_a_subscriber_cannot_name_the_owners_order(deliver, follow1, bob):
    deliver(follow1.alert(BTC_LIMIT))
    owners = Order.objects.get(account__name="A1")

    answer = deliver(
        follow1.alert(order_type="CANCEL", order_id=owners.client_order_id, token=issue_token(bob))
    ).json()

    assert [row["error_code"] for row in answer["results"]] == ["order_not_found"]
    assert [row["status"] for row in follow1.ledger_orders("A1")] == ["NEW"]


def test_strangers_cannot_tell_a_private_strategy_from_their_wrong_token(deliver, follow1, charlie):
    stranger = deliver(follow1.alert(BTC_LIMIT, token=issue_token(charlie)))
    guesser = deliver(follow1.alert(BTC_LIMIT, token="th_wrong"))

    assert stranger.status_code == guesser.status_code == 401
    assert stranger.json()["error"] == guesser.json()["error"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_delivery_notes_when_its_token_was_used_last(deliver, follow1, dry_run):
    deliver(follow1.alert(BTC_LIMIT, dry_run=dry_run))

    assert WebhookToken.objects.get().last_used_at is not None


def switch_off(model):
    return lambda: model.objects.update(is_active=False)


@pytest.mark.parametrize(
    "leave",
    [switch_off(Subscription), switch_off(Strategy), switch_off(StrategyAccount), switch_off(Account)],
    ids=["subscription", "strategy", "share", "account"],
)
def test_an_entry_that_waited_is_not_sent_for_someone_who_left(deliver, follow1, settings, runs, edge, leave):
    deliver(follow1.alert(BTC_LIMIT, dry_run=True))  # markets are known
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100
    edge.pause()
    deliver(follow1.alert(BTC_LIMIT))

    leave()

    edge.end_pauses()
    assert runs[-1].finished.wait(LONG_S)
    order = Order.objects.get(account=follow1.accounts["S1"])
    assert (order.status, order.reason) == ("denied", "not_taking_part")
    assert follow1.posts("S1") == []


@pytest.mark.parametrize("token", ["th_wrong", "", "th_" + "x" * 43, "x" * 46], ids=range(4))
@pytest.mark.parametrize("group", ["follow1", "nowhere"])
def test_a_wrong_token_costs_one_read_of_the_database(deliver, follow1, token, group, settings):
    settings.WEBHOOK_FAILED_AUTH_PER_MINUTE = 0  # leaves no row
    alert = follow1.alert(BTC_LIMIT, token=token, group_name=group)

    with CaptureQueriesContext(connection) as queries:
        response = deliver(alert)

    assert response.status_code in (400, 401, 404, 429)
    assert len(queries) == 1
