"""What an owner learns of a subscriber's account: nothing that depends on what the account holds or may do.

Two subscribers' accounts differ in holdings, capital, leverage, limits and trading state only. Whatever the owner
sends, both strategies answer alike.
"""

import json
import os
import random
import re
from decimal import Decimal

import pytest
from django.utils import timezone

from orders.models import Order
from strategies.models import StrategyAccount, SystemRisk, WebhookToken
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, open_desk
from tests.factories import AccountFactory, SubscriptionFactory, issue_token

pytestmark = pytest.mark.django_db(transaction=True)

LIVE, DRY = 70, 130
_HIDDEN = re.compile(r'"(?:webhook_id|order_id|client_order_id|\w+_time_ms)": (?:"[^"]*"|null|[\d.]+)')
_NAMES = re.compile(r"left|right|subscriber-[0-9a-f]{8}|th[0-9a-z]{20,}")


def without_ids(response):
    """The answer as text. Ids, times, and the names of strategies and accounts are of each side."""
    text = response.content.decode()
    body = _HIDDEN.sub("", json.dumps(json.loads(text)))
    return response.status_code, _NAMES.sub("name", body)


@pytest.fixture
def sides(paper, alice, bob, charlie):
    """The owner's accounts are alike, the subscribers' are not: bob is rich, charlie is poor and limited."""
    desks = []
    for side, user in (("left", bob), ("right", charlie)):
        desk = open_desk(paper, f"own-{side}", owner=alice, group_name=side, is_public=True)
        SubscriptionFactory(user=user, strategy=desk.strategy)
        desk.add(AccountFactory(owner=user, name=f"S-{side}"), capital=20_000_000)
        desks.append(desk)
    left, right = desks
    poor = right.strategy_account("S-right")
    poor.capital, poor.leverage, poor.max_symbols, poor.max_order_notional = Decimal(900), 1, 1, Decimal(50)
    poor.save()
    return left, right


def hold(deliver, desk, bob):
    """The subscriber's own alerts, so that the owner's accounts stay alike."""
    own = {"token": issue_token(bob)}
    assert deliver(desk.alert(BTC_MARKET, own, qty="2", qty_per=None)).status_code == 200
    stop = {"order_type": "STOP_MARKET", "side": "sell", "stop_price": "60000", "qty_per": -100}
    assert deliver(desk.alert(BTC_CLOSE, stop, own)).status_code == 200
    assert deliver(desk.alert(BTC_LIMIT, own, tag="grid")).status_code == 200


def alerts(seed, count):
    chance = random.Random(seed)
    for turn in range(count):
        yield turn, chance.choice(SHAPES)(chance)


def entry(chance):
    size = chance.choice(
        [{"qty_per": chance.choice([0.001, 1, 5, 90, 400])}, {"qty": str(chance.choice([0.001, 0.4, 3]))}]
    )
    kind = chance.choice(
        [
            {"order_type": "MARKET"},
            {"order_type": "LIMIT", "price": chance.choice(["90000", "94000", "-1%"])},
            {"order_type": "STOP_LIMIT", "price": "99000", "stop_price": "98000"},
            {"order_type": "STOP_MARKET", "stop_price": "99000"},
        ]
    )
    symbol = chance.choice(["BTC/USDT", "ETH/USDT"]) if kind["order_type"] == "MARKET" else "BTC/USDT"
    extra = chance.choice([{}, {}, {"tag": "grid"}, {"stop_loss": {"percent": 2}}])
    return {"symbol": symbol, "side": chance.choice(["buy", "sell"]), **kind, **size, **extra}


def leaving(chance):
    kind = chance.choice(
        [{"order_type": "MARKET"}, {"order_type": "MARKET"}, {"order_type": "LIMIT", "price": "99000"}]
    )
    side = chance.choice([{}, {"side": "sell"}, {"side": "buy"}])
    return {
        "symbol": chance.choice(["BTC/USDT", "ETH/USDT"]),
        "qty_per": chance.choice([-100, -50]),
        **kind,
        **side,
    }


def cancel(chance):
    return chance.choice(
        [
            CANCEL_ALL,
            CANCEL_ALL | {"symbol": "BTC/USDT"},
            CANCEL_ALL | {"tag": "grid"},
            {"order_type": "CANCEL", "tag": "grid"},
            {"order_type": "CANCEL", "tag": "nothing"},
            {"order_type": "CANCEL", "order_id": str(chance.randrange(1, 40))},
        ]
    )


def position(chance):
    word = chance.choice(["long", "short", "flat"])
    size = (
        {}
        if word == "flat"
        else {"market_position_size": 2, "prev_market_position_size": chance.choice([1, 4])}
    )
    return {"symbol": "BTC/USDT", "market_position": word, "qty_per": 5, **size}


def target(chance):
    aim = chance.choice(
        [{"target_per": chance.choice([0, 10, -10])}, {"target_qty": chance.choice(["0", "0.5"])}]
    )
    return {"symbol": "BTC/USDT", **aim}


def batch(chance):
    return {
        "orders": [chance.choice([entry, leaving, target])(chance) for _ in range(chance.randrange(2, 4))]
    }


SHAPES = [entry, entry, leaving, leaving, cancel, position, target, batch]


def test_owners_alerts_are_answered_alike_whatever_subscribers_hold(deliver, sides, bob):
    hold(deliver, sides[0], bob)
    seed = int(os.environ.get("FUZZ_SEED", "0"))
    lengths = {True: DRY, False: LIVE}
    for is_dry, count in lengths.items():
        for turn, message in alerts(f"{seed}-{is_dry}", count):
            mark = {"id": f"{is_dry}-{turn}", **({"dry_run": True} if is_dry else {})}
            answers = [without_ids(deliver(desk.alert(message, mark))) for desk in sides]

            assert answers[0] == answers[1], message

    denied = Order.objects.filter(status="denied")
    counts = [denied.filter(account__name=name).count() for name in ("S-left", "S-right")]
    assert counts[0] != counts[1], "the accounts were alike: nothing was shown"


@pytest.mark.parametrize(
    ("limit", "code"),
    [({"trading_state": "halted"}, "halted"), ({"is_active": False}, None)],
)
def test_a_subscribers_own_halt_is_not_told_and_taking_part_is(deliver, sides, limit, code):
    _left, right = sides
    StrategyAccount.objects.filter(account__name="S-right").update(**limit)

    others = [
        row for row in deliver(right.alert(BTC_LIMIT)).json()["results"] if row["account_name"] != "own-right"
    ]

    assert [row["status"] for row in others] == (["sent"] if code else [])


@pytest.mark.parametrize("level", ["strategy", "system"])
def test_a_halt_that_the_owner_may_know_sends_nothing_to_anybody(deliver, sides, level):
    StrategyAccount.objects.filter(account__name="S-right").update(trading_state="halted")
    if level == "strategy":
        for desk in sides:
            desk.strategy.trading_state = "reduce_only"
            desk.strategy.save()
    else:
        SystemRisk.objects.update_or_create(pk=1, defaults={"trading_state": "reduce_only"})

    entries, exits = ([deliver(desk.alert(leg)) for desk in sides] for leg in (BTC_LIMIT, BTC_CLOSE))

    assert without_ids(entries[0]) == without_ids(entries[1])
    assert [answer.json()["results"][-1]["status"] for answer in entries] == ["not_sent", "not_sent"]
    assert [answer.json()["results"][-1]["status"] for answer in exits] == ["sent", "sent"]


def test_a_dry_run_of_the_owner_tells_about_the_owners_accounts_only(deliver, sides):
    left, _right = sides

    answer = deliver(left.alert(BTC_LIMIT, dry_run=True)).json()

    assert [row["account_name"] for row in answer["results"]] == ["own-left"]
    assert answer["summary"]["total_accounts"] == 1
    assert any("1" in warning for warning in answer["warnings"])


def test_a_subscribers_order_is_not_found_by_the_owners_guess(deliver, sides, bob):
    left, _right = sides
    hold(deliver, left, bob)
    order = Order.objects.get(account__name="S-left", order_type="LIMIT")

    for name in (order.exchange_order_id, order.client_order_id):
        answer = deliver(left.alert(order_type="CANCEL", order_id=name)).json()
        assert [row["error_code"] for row in answer["results"]] == ["order_not_found"]
    order.refresh_from_db()
    assert order.status == "accepted"


def test_whether_a_former_subscriber_holds_something_does_not_decide_the_answer(deliver, sides, bob):
    """Neither the owner's accounts nor the subscribers' take part any more: 400 or 200 must not tell."""
    hold(deliver, sides[0], bob)
    StrategyAccount.objects.update(is_active=False)

    missed = {"symbol": "BTC/USDT", "market_position": "flat", "prev_market_position": "short"}
    for message in (missed, BTC_CLOSE, CANCEL_ALL, BTC_CLOSE | {"symbol": "NO/SUCH"}, BTC_LIMIT):
        answers = [without_ids(deliver(desk.alert(message))) for desk in sides]
        assert answers[0] == answers[1], message


# One answer for whoever proved nothing


@pytest.mark.parametrize("token", ["th_" + "x" * 43, "charlies", "revoked"])
def test_unknown_inactive_and_known_strategies_are_one_to_whoever_opens_nothing(
    deliver, test1, charlie, token
):
    tokens = {"charlies": lambda: issue_token(charlie), "revoked": lambda: revoked(charlie)}
    clear = tokens.get(token, lambda: token)()
    test1.strategy.is_active = False
    test1.strategy.save()
    inactive = deliver(test1.alert(BTC_LIMIT, token=clear))
    test1.strategy.is_active = True
    test1.strategy.save()

    known = deliver(test1.alert(BTC_LIMIT, token=clear))
    unknown = deliver(test1.alert(BTC_LIMIT, token=clear, group_name="nowhere"))

    assert {without_ids(answer) for answer in (known, unknown, inactive)} == {without_ids(known)}
    assert (known.status_code, known.json()["code"]) == (401, "invalid_token")


def revoked(user):
    clear = issue_token(user)
    WebhookToken.objects.filter(user=user).update(revoked_at=timezone.now())
    return clear
