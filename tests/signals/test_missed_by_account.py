"""An account that holds nothing although the alerts are in sequence leaves a row for staff, and for nobody else."""

import json
from contextlib import suppress
from decimal import Decimal

import pytest
from django.utils import timezone

from orders.domain.positions import Decision, Move, Situation
from orders.domain.terms import Aim, PositionWord
from orders.execution import batches
from orders.models import MissedAlert, Order
from orders.turns import position_turn
from orders.turns.missed_alerts import missed_by_account
from tests.crash import Killed, abandon_all, dying_at, track
from tests.desk import BTC, open_desk
from tests.factories import AccountFactory, SubscriptionFactory
from tests.signals.test_sequence import position

pytestmark = pytest.mark.django_db(transaction=True)

OPEN = position("long", 1, "flat", 0)
ADD = position("long", 2, "long", 1)


@pytest.fixture
def desk(paper, alice):
    return open_desk(paper, "A1", "A2", owner=alice)


def refuse_next(paper, desk, name):
    paper.fault(
        path="/fapi/v1/order", method="POST", api_key=desk.key(name), action="code", value=-2019, times=1
    )


def rows():
    columns = ("strategy_account__account__name", "symbol", "known", "said", "on_gap", "leg")
    return list(MissedAlert.objects.order_by("pk").values_list(*columns))


@pytest.mark.parametrize(("on_gap", "held"), [("follow", "1"), ("exits_only", "0"), ("refuse", "0")])
def test_the_account_whose_entry_failed_has_a_row_and_the_setting_acts_as_before(
    deliver, desk, paper, on_gap, held
):
    desk.strategy.on_gap = on_gap
    desk.strategy.save()
    refuse_next(paper, desk, "A1")
    deliver(desk.alert(OPEN))

    answer = deliver(desk.alert(ADD)).json()

    assert rows() == [("A1", BTC, "flat", "long 1", on_gap, 0)]
    assert (desk.held("A1"), desk.held("A2")) == (held, "2")
    assert answer["warnings"] == []


def test_alerts_that_every_account_can_follow_and_exits_leave_no_row(deliver, desk):
    deliver(desk.alert(OPEN))
    deliver(desk.alert(ADD))
    deliver(desk.alert(position("long", 1, "long", 2)))
    deliver(desk.alert(position("short", 1, "long", 1)))
    deliver(desk.alert(position("flat", 0, "short", 1)))

    assert rows() == []


def test_a_gap_between_the_alerts_has_one_row_for_the_strategy_and_none_for_its_accounts(deliver, desk):
    deliver(desk.alert(ADD))

    assert [row[0] for row in rows()] == [None]


def test_an_entry_that_still_works_at_the_exchange_is_no_gap(deliver, desk):
    deliver(desk.alert(OPEN, order_type="LIMIT", price="90000"))
    deliver(desk.alert(ADD, order_type="LIMIT", price="89000"))

    assert rows() == []
    assert Order.objects.filter(status="accepted").count() == 4


def test_a_dry_run_leaves_no_row(deliver, desk):
    deliver(desk.alert(OPEN, dry_run=True))
    deliver(desk.alert(position("long", 1, "long", 1), dry_run=True))

    assert rows() == []


@pytest.mark.parametrize(
    ("situation", "known"),
    [
        (Situation(held=Decimal(-1)), "short"),
        (Situation(held=Decimal(3), is_leaving=True), "flat"),
        (Situation(held=Decimal(3)), "long"),
    ],
)
def test_a_row_says_which_side_the_account_holds_and_not_how_much(situation, known):
    aim = Aim(PositionWord.LONG, PositionWord.LONG, Decimal(2), Decimal(1))

    (row,) = missed_by_account(
        Order(terms={}), aim, Decision(Move.ENTER, is_gap=True), situation, timezone.now()
    )

    assert (row.known, row.said) == (known, "long 1")


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_the_decision_leaves_one_row(deliver, desk, paper, after):
    refuse_next(paper, desk, "A1")
    deliver(desk.alert(OPEN))
    with dying_at(position_turn, "decide_positions", after=after):
        with suppress(Killed):
            deliver(desk.alert(ADD))
        batches.shut_down()

    abandon_all()
    track(after_s=30)
    track(after_s=60)

    assert [row[0] for row in rows()] == ["A1"]
    assert (desk.held("A1"), desk.held("A2")) == ("1", "2")


def test_the_owner_learns_nothing_of_a_subscribers_holding(deliver, desk, paper, client, alice, bob):
    desk.strategy.is_public = True
    desk.strategy.save()
    SubscriptionFactory(strategy=desk.strategy, user=bob)
    desk.add(AccountFactory(owner=bob, name="S1"), capital=20_000_000)
    refuse_next(paper, desk, "S1")
    deliver(desk.alert(OPEN))

    answer = deliver(desk.alert(ADD)).json()

    assert [row[0] for row in rows()] == ["S1"]
    others = [row for row in answer["results"] if row["account_name"] not in ("A1", "A2")]
    assert [set(row) for row in others] == [{"account_name", "status", "error_code"}]
    assert [(row["status"], row["error_code"]) for row in others] == [("sent", None)]
    assert answer["warnings"] == []
    assert "flat" not in json.dumps(answer)


def test_staff_see_the_account_in_the_admin(deliver, desk, paper, admin_client):
    refuse_next(paper, desk, "A1")
    deliver(desk.alert(OPEN))
    deliver(desk.alert(ADD))

    page = admin_client.get("/admin/orders/missedalert/?strategy_account__isempty=0")

    assert page.status_code == 200
    assert "A1" in page.content.decode()
