"""What a new process does before its first delivery, and what it does not wait for."""

import pytest
from django.utils import timezone

from exchanges.enums import MarketType
from exchanges.gateway import gateway
from exchanges.market_data import catalog
from exchanges.market_data.warmup import warm_up
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db(transaction=True)

PAPER = {("paper", MarketType.SPOT), ("paper", MarketType.FUTURES)}


@pytest.fixture
def asked(monkeypatch):
    clocks = set()
    monkeypatch.setattr(gateway, "set_clock", lambda *line: clocks.add(line))
    return clocks


def test_the_clocks_of_the_exchanges_in_use_are_read(paper, alice, asked, django_assert_num_queries):
    AccountFactory(owner=alice)
    now = timezone.now()

    warm_up(now=now)

    assert asked == PAPER
    with django_assert_num_queries(0):  # the markets are in memory
        assert all(catalog.open_catalog(*line, now=now).specs for line in PAPER)


def test_a_restart_needs_no_network(paper, alice, settings, new_process):
    AccountFactory(owner=alice)
    warm_up(now=timezone.now())
    settings.PAPER_EXCHANGE_URL = "http://127.0.0.1:9"
    new_process()

    warm_up(now=timezone.now())

    assert catalog.open_catalog("paper", MarketType.FUTURES, now=timezone.now()).specs


def test_an_exchange_that_nobody_uses_is_left_alone(paper, alice, asked):
    AccountFactory(owner=alice, is_active=False)

    warm_up(now=timezone.now())

    assert asked == set()
