"""Each part of the tracker's work leaves weight to the others, and what has no room stays due."""

from datetime import timedelta

import pytest
from django.utils import timezone

from exchanges.enums import MarketType
from exchanges.gateway import Line
from exchanges.models import Account
from orders.models import HoldingCheck
from orders.outside.income import collect_income
from orders.reconciliation.comparison import ComparisonWeight, compare_accounts
from orders.reconciliation.request_weight import Rooms
from tests.desk import BTC_LIMIT

pytestmark = pytest.mark.django_db(transaction=True)

LINE = Line("paper", MarketType.FUTURES)
A_MINUTE = timedelta(minutes=1)


def rooms(weight, trackers=1):
    """So much weight at first, and as much a minute."""
    return Rooms(weight / 2400, keep=A_MINUTE, trackers=lambda: trackers)


def test_weight_grows_with_time_up_to_what_is_kept(paper):
    room, now = rooms(10), timezone.now()

    assert room.spend(LINE, 10, now=now)
    assert not room.spend(LINE, 1, now=now)
    assert room.spend(LINE, 1, now=now + timedelta(seconds=6))
    assert room.spend(LINE, 25, now=now + timedelta(hours=1))
    assert not room.spend(LINE, 1, now=now + timedelta(hours=1, seconds=60))


def test_trackers_share_the_weight_and_an_empty_room_is_empty(paper):
    room, now = rooms(10, trackers=2), timezone.now()

    assert room.spend(LINE, 5, now=now)
    assert not room.spend(LINE, 1, now=now)
    room.empty(LINE)
    assert room.spend(LINE, 1, now=now + timedelta(seconds=1))


def test_an_account_without_room_stays_due_and_is_the_next(deliver, paper, test1):
    deliver(test1.alert(BTC_LIMIT))
    Account.objects.update(compare_claimed_at=None)
    weight, now = ComparisonWeight(rooms(5), rooms(1)), timezone.now()

    compare_accounts(clock=lambda: now, weight=weight)
    first = set(Account.objects.filter(compare_claimed_at=now).values_list("name", flat=True))
    compare_accounts(clock=lambda: now + A_MINUTE, weight=weight)
    second = set(Account.objects.filter(compare_claimed_at=now + A_MINUTE).values_list("name", flat=True))

    assert first | second == {"A1", "A2"}
    assert len(first) == len(second) == 1


def test_a_sweep_without_room_is_a_plain_comparison_and_stays_due(deliver, paper, test1):
    deliver(test1.alert(BTC_LIMIT))
    Account.objects.update(compare_claimed_at=None, swept_at=None)
    now = timezone.now()

    compare_accounts(clock=lambda: now, weight=ComparisonWeight(rooms(1000), rooms(1)))

    assert Account.objects.filter(compare_claimed_at=now).count() == 2
    assert Account.objects.filter(swept_at=now).count() == 1


def test_the_account_whose_last_sweep_is_oldest_is_swept_first(deliver, paper, test1):
    deliver(test1.alert(BTC_LIMIT))
    now = timezone.now()
    Account.objects.update(compare_claimed_at=None, swept_at=now - timedelta(hours=2))
    newest = Account.objects.order_by("pk").last()
    Account.objects.filter(pk=newest.pk).update(swept_at=now - timedelta(hours=3))

    compare_accounts(clock=lambda: now, weight=ComparisonWeight(rooms(1000), rooms(1)))

    assert Account.objects.get(swept_at=now) == newest


def test_income_without_room_stays_due(deliver, paper, test1):
    deliver(test1.alert(BTC_LIMIT))
    room = rooms(1)

    is_done = collect_income(
        clock=timezone.now, has_room=lambda account: room.spend(LINE, 30, now=timezone.now())
    )

    assert not is_done
    assert HoldingCheck.objects.filter(symbol="", checked_at__isnull=False).count() == 1
    assert collect_income(clock=timezone.now)
