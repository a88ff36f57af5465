"""What nobody can trade is no position (SPEC 6a)."""

from decimal import Decimal

import pytest
from django.core.cache import cache
from django.utils import timezone

from exchanges.enums import MarketType, TradingState
from orders.controls.trading_state import change_trading_state
from orders.models import ExitGoal, Position
from tests.desk import PERSON, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

CKB = {"symbol": "CKB/USDT", "side": "buy", "order_type": "MARKET", "qty": "2563"}
CKB_CLOSE = {"symbol": "CKB/USDT", "side": "sell", "order_type": "MARKET", "qty_per": -100}
ADA = {"symbol": "ADA/USDT", "side": "buy", "order_type": "MARKET", "qty": "100"}
WIF = {"symbol": "WIF/USDT", "side": "buy", "order_type": "MARKET", "qty": "2"}
WIF_CLOSE = {"symbol": "WIF/USDT", "side": "sell", "order_type": "MARKET", "qty_per": -100}


@pytest.fixture
def spot(paper):
    return open_desk(paper, "A1", group_name="spot", market_type=MarketType.SPOT)


def halt(desk):
    change_trading_state(
        desk.strategy, TradingState.HALTED, reason="drill", actor=PERSON, clock=timezone.now,
        cancel_all=True, close_all=True,
    )  # fmt: skip


def test_dust_counts_as_no_position(deliver, paper, spot):
    spot.strategy.strategy_accounts.update(max_symbols=1)
    deliver(spot.alert(CKB))

    (close,) = deliver(spot.alert(CKB_CLOSE)).json()["results"]
    (entry,) = deliver(spot.alert(ADA)).json()["results"]
    halt(spot)

    assert (close["status"], close["filled"]) == ("success", "2560")
    dust = Position.objects.get(symbol="CKB/USDT")
    assert (dust.quantity, dust.is_dust) == (Decimal("0.437"), True)
    assert entry["status"] == "success"
    assert spot.strategy.trading_state == TradingState.HALTED


def test_dust_is_a_position_again_once_it_grows(deliver, paper, spot):
    deliver(spot.alert(CKB))
    deliver(spot.alert(CKB_CLOSE))

    deliver(spot.alert(CKB))
    grown = Position.objects.get()
    (close,) = deliver(spot.alert(CKB_CLOSE)).json()["results"]

    assert (grown.quantity, grown.is_dust) == (Decimal("2560.874"), False)
    assert (close["status"], close["filled"]) == ("success", "2560")


def test_what_is_worth_too_little_is_not_sent_and_a_dry_run_says_the_same(deliver, paper, spot):
    deliver(spot.alert(WIF))
    paper.set_prices({"WIFUSDT": "1.5"})
    cache.clear()  # the price has grown old
    before = len(paper.requests())

    (preview,) = deliver(spot.alert(WIF_CLOSE, dry_run=True)).json()["results"]
    (live,) = deliver(spot.alert(WIF_CLOSE)).json()["results"]

    for row in (preview, live):
        assert (row["status"], row["error_code"]) == ("failed", "below_min_notional")
        assert "2.985" in row["error"]  # 1.99 at 1.5
        assert "5" in row["error"]
    assert [row for row in paper.requests()[before:] if row["method"] == "POST"] == []
    assert ExitGoal.objects.latest("pk").state == "reached"
    assert Position.objects.get().is_dust
