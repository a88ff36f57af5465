"""A person distributes what happened outside, in the backoffice: preview, reason, then the booking."""

import re
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from orders.models import Adjustment, HoldingCheck, OutsideEvent, Position, PositionDifference
from orders.outside.books import external_holdings
from orders.outside.distribution import NotDistributable, distribute, distribution_of_event
from orders.reconciliation.comparison import compare_accounts
from tests.crash import later
from tests.desk import BTC, BTC_MARKET, PERSON, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ONE = {"qty_per": None, "qty": "1"}


@pytest.fixture(autouse=True)
def in_english(admin_client):
    admin_client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def other(paper, solo):
    return open_desk(paper, "A1", owner=solo.strategy.owner, group_name="other")


@pytest.fixture
def both(deliver, solo, other):
    """Two strategies are long 1 each on one account."""
    for desk in (solo, other):
        deliver(desk.alert(BTC_MARKET, ONE))
    return solo, other


@pytest.fixture
def event(both):
    """1.5 sold by hand at 96,000: nobody can say of which strategy."""
    solo, _ = both
    solo.paper.set_prices({"BTCUSDT": "96000"})
    solo.paper.hand(solo.key("A1"), "futures", "BTCUSDT", "SELL", "1.5")
    compare(1)
    return OutsideEvent.objects.get()


def compare(minutes):
    compare_accounts(clock=later(60 * minutes))


def page_of(row):
    return reverse(f"admin:orders_{row._meta.model_name}_distribute", args=[row.pk])


def shares_of(both, *amounts):
    pks = [desk.strategy_account("A1").pk for desk in both]
    return {f"share_{pk}": amount for pk, amount in zip(pks, amounts, strict=True)}


def confirmation(response):
    """The form of the preview, as a browser sends it."""
    html = response.content.decode()
    hidden = re.findall(r"<input type=\"hidden\" name=\"(\w+)\"(?: value=\"([^\"]*)\")?", html)
    return dict(hidden) | {"confirm": "Book"}


def held(desk, symbol=BTC):
    return str(Position.objects.get(strategy_account=desk.strategy_account("A1"), symbol=symbol).quantity)


def test_a_person_distributes_a_hand_trade_between_two_strategies(admin_client, both, event):
    solo, other = both
    preview = admin_client.post(page_of(event), shares_of(both, "-1", "-0.5") | {"reason": "closed by phone"})
    before = Adjustment.objects.count()

    admin_client.post(page_of(event), confirmation(preview))

    event.refresh_from_db()
    rows = Adjustment.objects.order_by("pk")
    assert (before, preview.status_code) == (0, 200)
    assert [(row.quantity, row.realized_profit, row.reason) for row in rows] == [
        (Decimal(-1), Decimal(1000), "closed by phone"),
        (Decimal("-0.5"), Decimal(500), "closed by phone"),
    ]
    assert (
        {row.actor for row in rows} == {event.settled_by} == {f"user:{User.objects.get(username='admin').pk}"}
    )
    assert sum(row.fee for row in rows) == event.fee
    assert (held(solo), held(other), solo.held("A1")) == ("0", "0.5", "0.5")
    assert HoldingCheck.objects.wanted().exists()
    compare(2)
    assert not PositionDifference.objects.unresolved().exists()


def test_the_preview_shows_positions_and_profit(admin_client, both, event):
    response = admin_client.post(page_of(event), shares_of(both, "-1", "") | {"reason": "x"})

    (row,) = response.context["outcomes"]
    assert (row["before"], row["after"], row["profit"]) == ("1", "0", "1000")
    assert not Adjustment.objects.exists()


def test_a_part_can_be_distributed_and_the_rest_waits_or_is_declared_external(admin_client, both, event):
    solo, other = both
    preview = admin_client.post(page_of(event), shares_of(both, "-1", "") | {"reason": "x"})
    admin_client.post(page_of(event), confirmation(preview))
    waiting = OutsideEvent.objects.waiting().count()

    page = reverse("admin:orders_outsideevent_changelist")
    admin_client.post(page, {"action": "declare_events_external", "_selected_action": [event.pk]})
    compare(2)

    assert (waiting, OutsideEvent.objects.waiting().count()) == (1, 0)
    assert (held(solo), held(other)) == ("0", "1")
    assert list(external_holdings([BTC]).values()) == [Decimal("-0.5")]
    assert not PositionDifference.objects.unresolved().exists()


def test_positions_that_changed_since_the_preview_refuse_the_booking(admin_client, deliver, both, event):
    solo, _ = both
    preview = admin_client.post(page_of(event), shares_of(both, "-1", "-0.5") | {"reason": "x"})
    Position.objects.filter(strategy_account=solo.strategy_account("A1")).update(quantity=2)

    response = admin_client.post(page_of(event), confirmation(preview))

    assert "have changed since the preview" in response.content.decode()
    assert not Adjustment.objects.exists()
    Position.objects.filter(strategy_account=solo.strategy_account("A1")).update(quantity=1)


def test_a_confirmation_without_a_preview_books_nothing(admin_client, both, event):
    posted = shares_of(both, "-1", "-0.5") | {"reason": "x", "confirm": "Book"}

    admin_client.post(page_of(event), posted)

    assert not Adjustment.objects.exists()


def test_a_booking_confirmed_twice_counts_once(admin_client, both, event):
    preview = admin_client.post(page_of(event), shares_of(both, "-1", "-0.5") | {"reason": "x"})

    for _ in range(2):
        response = admin_client.post(page_of(event), confirmation(preview))

    assert Adjustment.objects.count() == 2
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("amounts", "reason", "text"),
    [
        (("-1", "-1"), "x", "more than what is left"),
        (("1", ""), "x", "of the other sign"),
        (("", ""), "x", "at least one"),
        (("-1", ""), "", "errorlist"),
        (("much", ""), "x", "errorlist"),
    ],
)
def test_amounts_that_do_not_fit_are_refused(admin_client, both, event, amounts, reason, text):
    response = admin_client.post(page_of(event), shares_of(both, *amounts) | {"reason": reason})

    assert text in response.content.decode()
    assert response.context["outcomes"] == []


def test_a_strategy_account_of_another_account_gets_no_share(both, event, paper):
    stranger = open_desk(paper, "B1", owner=both[0].strategy.owner, group_name="stranger")
    pk = stranger.strategy_account("B1").pk

    with pytest.raises(NotDistributable, match="not_candidate"):
        distribute(
            distribution_of_event(event),
            {pk: Decimal(-1)},
            expected={pk: Decimal(0)},
            actor=PERSON,
            reason="x",
            now=timezone.now(),
        )


def test_a_viewer_sees_the_events_and_distributes_nothing(client, both, event):
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(viewer)

    listed = client.get(reverse("admin:orders_outsideevent_changelist"))

    assert listed.status_code == 200
    assert client.get(page_of(event)).status_code == 403
    assert client.post(page_of(event), shares_of(both, "-1", "") | {"reason": "x"}).status_code == 403


def test_an_event_that_is_gone_is_not_found(admin_client, event):
    page = reverse("admin:orders_outsideevent_distribute", args=[event.pk + 1])

    assert admin_client.get(page).status_code == 404


@pytest.fixture
def spot(paper, deliver):
    """Coins of a strategy that left the account without a fill."""
    desk = open_desk(paper, "A1", group_name="spot", market_type="SPOT", capital=100_000)
    deliver(desk.alert(symbol="LTCUSDT", side="buy", order_type="MARKET", qty="2"))
    paper.transfer(desk.key("A1"), "spot", "LTC", "-1.5")
    compare(1)
    return desk


def correct(admin_client, desk, **fields):
    row = PositionDifference.objects.get()
    share = {f"share_{desk.strategy_account('A1').pk}": "-1.5", "reason": "moved to the vault"}
    preview = admin_client.post(page_of(row), share | fields)
    return row, admin_client.post(page_of(row), confirmation(preview)), preview


def test_a_difference_without_fills_is_corrected_at_the_entry_price(admin_client, spot):
    correct(admin_client, spot)

    row = Adjustment.objects.get()
    assert (row.kind, row.event, row.quantity, row.realized_profit) == (
        "correction", None, Decimal("-1.5"), Decimal(0),
    )  # fmt: skip
    compare(2)
    assert not PositionDifference.objects.unresolved().exists()


def test_a_correction_can_have_a_price(admin_client, spot):
    position = Position.objects.get()
    price = round(position.entry_price) + 10

    correct(admin_client, spot, price=str(price))

    assert Adjustment.objects.get().realized_profit > 14


def test_a_difference_is_corrected_once_before_a_comparison(admin_client, spot):
    row, _, preview = correct(admin_client, spot)

    second = admin_client.post(page_of(row), confirmation(preview))

    assert second.status_code == 200
    assert Adjustment.objects.count() == 1


def test_a_correction_that_opens_a_position_needs_a_price(admin_client, deliver, both):
    solo, _ = both
    third = open_desk(solo.paper, "A1", owner=solo.strategy.owner, group_name="third")
    solo.paper.hand(solo.key("A1"), "futures", "BTCUSDT", "BUY", "1")
    compare(1)
    OutsideEvent.objects.update(settled_at=timezone.now())
    row = PositionDifference.objects.get()
    share = {f"share_{third.strategy_account('A1').pk}": "1", "reason": "x"}

    refused = admin_client.post(page_of(row), share)
    preview = admin_client.post(page_of(row), share | {"price": "95000"})
    admin_client.post(page_of(row), confirmation(preview))

    assert "needs a price" in refused.content.decode()
    assert held(third) == "1"


def test_the_lists_lead_to_the_page_of_what_waits(admin_client, event):
    for row in (event, PositionDifference.objects.get()):
        response = admin_client.get(reverse(f"admin:orders_{row._meta.model_name}_changelist"))

        assert page_of(row) in response.content.decode()
    assert admin_client.get(page_of(event)).status_code == 200
