"""LIMIT entries that work for a moment only, or that only rest."""

import pytest

from tests.desk import open_desk

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT = {"symbol": "BTC/USDT", "side": "buy", "order_type": "LIMIT", "qty": "1"}


@pytest.mark.parametrize(
    ("market", "price", "time_in_force", "status", "code"),
    [
        ("FUTURES", "96000", "IOC", "filled", None),
        ("FUTURES", "90000", "IOC", "expired", None),
        ("FUTURES", "90000", "FOK", "expired", None),
        ("FUTURES", "90000", "post_only", "accepted", None),
        ("FUTURES", "96000", "POST_ONLY", "rejected", "rejected"),
        ("FUTURES", "90000", "GTC", "accepted", None),
        ("SPOT", "90000", "IOC", "expired", None),
        ("SPOT", "90000", "POST_ONLY", "denied", "time_in_force_unsupported"),
    ],
)
def test_a_limit_entry_works_as_long_as_asked(
    deliver, paper, alice, market, price, time_in_force, status, code
):
    desk = open_desk(paper, "A1", owner=alice, market_type=market)

    (row,) = deliver(desk.alert(LIMIT, price=price, time_in_force=time_in_force)).json()["results"]

    assert (row["order_status"], row["error_code"]) == (status, code)


def test_a_market_entry_has_no_time_in_force(deliver, paper, alice):
    desk = open_desk(paper, "A1", owner=alice)

    (row,) = deliver(desk.alert(LIMIT, order_type="MARKET", time_in_force="IOC")).json()["results"]

    assert row["error_code"] == "time_in_force_unsupported"
