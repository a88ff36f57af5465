"""An order of unknown outcome is put before a person, and closed on their word."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from orders.domain.enums import Evidence
from orders.models import Order, OrderEvent
from orders.reconciliation.by_person import declare_absent
from tests.desk import BTC_LIMIT, PERSON

pytestmark = pytest.mark.django_db(transaction=True)
HORIZON = timedelta(seconds=settings.ABSENCE_HORIZON_S)
PAGE = reverse("admin:orders_openorder_changelist")


@pytest.fixture
def lost(deliver, paper, test1):
    """A1's order never reached the exchange, and nobody knows. A2's was accepted."""
    paper.fault(action="drop", when="before", method="POST", path="/fapi/v1/order", api_key=test1.key("A1"))
    deliver(test1.alert(BTC_LIMIT))
    order = Order.objects.get(account__name="A1")
    assert (order.status, order.unknown_since is None) == ("submitted", False)
    return order


@pytest.fixture
def desk(client):
    user = User.objects.create_superuser("desk")
    client.force_login(user)
    return client


def age(order, by=HORIZON + timedelta(seconds=1)):
    Order.objects.filter(pk=order.pk).update(unknown_since=timezone.now() - by)
    order.refresh_from_db()


def choose(desk, *orders):
    chosen = [order.pk for order in orders]
    data = {"action": "declare_absent", "_selected_action": chosen}
    return desk.post(PAGE, data, HTTP_ACCEPT_LANGUAGE="en", follow=True)


def test_an_order_that_the_exchange_never_had_is_rejected_on_a_persons_word(lost):
    age(lost)
    now = timezone.now()

    assert declare_absent([lost], actor=PERSON, now=now) == [lost]

    lost.refresh_from_db()
    assert (lost.status, lost.reason) == ("rejected", "not_found_at_exchange")
    assert (lost.closed_at, lost.unknown_since) == (now, None)
    assert lost.released_at is not None
    event = OrderEvent.objects.filter(order=lost).latest("pk")
    assert (event.to_status, event.evidence, event.actor) == ("rejected", Evidence.OPERATOR, "user:1")


def too_soon(order):
    age(order, HORIZON - timedelta(seconds=30))


def answered(order):
    Order.objects.filter(pk=order.pk).update(unknown_since=None)
    order.refresh_from_db()


def moved_on_meanwhile(order):
    age(order)
    Order.objects.filter(pk=order.pk).update(status="accepted")
    order.unknown_since = timezone.now() - 2 * HORIZON  # as it was when the page was read


def partly_filled(order):
    age(order)
    Order.objects.filter(pk=order.pk).update(status="partially_filled")
    order.refresh_from_db()


@pytest.mark.parametrize("change", [too_soon, answered, moved_on_meanwhile, partly_filled])
def test_every_other_order_stays_as_it_is(lost, change):
    change(lost)
    before = Order.objects.values().get(pk=lost.pk)

    assert declare_absent([lost], actor=PERSON, now=timezone.now()) == []

    assert Order.objects.values().get(pk=lost.pk) == before
    restore(lost)


def restore(order):
    """For the rules that are checked after each test."""
    Order.objects.filter(pk=order.pk).update(status="submitted", unknown_since=timezone.now())


def test_the_page_shows_it_first_and_closes_it_alone(desk, lost):
    age(lost)
    other = Order.objects.get(account__name="A2")

    page = desk.get(PAGE).content.decode()
    only_unknown = desk.get(PAGE, {"outcome": "unknown"}).content.decode()
    told = choose(desk, lost, other).content.decode()

    assert page.index(f"/{lost.pk}/change/") < page.index(f"/{other.pk}/change/")
    assert f"/{lost.pk}/change/" in only_unknown
    assert f"/{other.pk}/change/" not in only_unknown
    assert f"Order {lost.client_order_id} {lost.symbol}: closed." in told
    assert f"Order {other.client_order_id} {other.symbol}: not closed." in told
    statuses = dict(Order.objects.values_list("account__name", "status"))
    assert statuses == {"A1": "rejected", "A2": "accepted"}
    assert OrderEvent.objects.filter(order=lost).latest("pk").actor.startswith("user:")
