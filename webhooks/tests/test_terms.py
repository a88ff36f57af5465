"""The fields beyond side, type and price: positions, targets, sizes, protective exits, tags."""

from decimal import Decimal

import pytest

from exchanges.enums import OrderType, TimeInForce
from orders.domain.terms import Aim, Distance, DistanceKind, PositionWord, Protection, TakeProfit, Terms
from webhooks.tests.test_payload import LIMIT, MARKET, leg_of, parse, refusal

D = Decimal
POSITION = {
    "group_name": "g",
    "token": "t",
    "symbol": "BTCUSDT",
    "qty": 1,
    "market_position": "long",
    "market_position_size": "2",
    "prev_market_position": "Long",
    "prev_market_position_size": 1,
}


def position(**changes):
    return {name: value for name, value in (POSITION | changes).items() if value is not ...}


def entry(**changes):
    return MARKET | changes


def test_a_size_that_may_count_exit_and_entry_together_is_told():
    def warned(**fields):
        return any("strategy.order.contracts" in str(text) for text in parse(position(**fields)).warnings)

    bare = {"market_position_size": ..., "prev_market_position_size": ..., "qty_per": ...}
    assert warned(market_position="short", **bare, qty=2)
    assert not warned(market_position="short", qty=2, qty_per=...)
    assert not warned(market_position="flat", **bare, qty=2)
    assert not warned(market_position="short", **bare | {"qty": ..., "qty_per": 5})


def test_a_position_needs_neither_type_nor_side():
    (leg,) = parse(POSITION).legs

    assert (leg.leg_type, leg.side, leg.qty) == (OrderType.MARKET, None, 1)
    assert leg.aim == Aim(PositionWord.LONG, PositionWord.LONG, D(2), D(1))
    assert leg.may_close
    assert not leg.is_closing


def test_a_size_has_no_sign():
    (leg,) = parse(position(market_position="short", market_position_size="-2")).legs

    assert leg.aim.size == 2


@pytest.mark.parametrize(
    "sizes",
    [
        {"market_position": "flat", "market_position_size": 0},
        {"market_position": "flat", "market_position_size": ...},
        {"market_position_size": "0.5"},
    ],
)
def test_flat_and_a_smaller_position_need_no_size(sizes):
    (leg,) = parse(position(qty=..., **sizes)).legs

    assert leg.qty is None


@pytest.mark.parametrize("name", ["target_per", "target_qty", "target_quote"])
@pytest.mark.parametrize("target", ["-5", 0, "12.5"])
def test_a_target_is_signed_and_needs_nothing_else(name, target):
    (leg,) = parse({"group_name": "g", "token": "t", "symbol": "BTCUSDT", name: target}).legs

    assert (leg.aim.target, getattr(leg.aim, name), leg.leg_type) == (D(target), D(target), OrderType.MARKET)
    assert leg.is_closing is (D(target) == 0)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (position(market_position="up"), "invalid_position", "market_position"),
        (position(prev_market_position="up"), "invalid_position", "prev_market_position"),
        (position(market_position=...), "missing_field", "order_type"),
        (position(market_position=..., order_type="MARKET"), "missing_field", "market_position"),
        (position(market_position_size=0), "invalid_number", "market_position_size"),
        (position(market_position_size="x"), "invalid_number", "market_position_size"),
        (position(qty=...), "missing_field", "qty_per"),
        (position(reduce_only=True), "invalid_number", "reduce_only"),
        (position(qty_per=5), "invalid_number", "qty, qty_per"),
        (position(qty=..., qty_per=-50), "invalid_number", "qty_per"),
        (position(target_per=5), "invalid_number", "market_position, target_per"),
        (entry(target_per=5), "invalid_number", "qty, target_per"),
        (entry(qty=..., target_per=5, target_qty=1), "invalid_number", "target_per, target_qty"),
        (entry(quote_qty=5), "invalid_number", "qty, quote_qty"),
        (entry(quote_qty="-5"), "invalid_number", "quote_qty"),
        (entry(levered="perhaps"), "invalid_number", "levered"),
        (entry(reduce_only="perhaps"), "invalid_number", "reduce_only"),
        (entry(tag="x" * 65), "invalid_number", "tag"),
        (entry(time_in_force="DAY"), "invalid_number", "time_in_force"),
        (entry(stop_loss=2.5), "invalid_number", "stop_loss"),
        (entry(stop_loss={}), "invalid_number", "stop_loss"),
        (entry(stop_loss={"percent": 1, "price": 2}), "invalid_number", "stop_loss"),
        (entry(stop_loss={"percent": 1, "limit": 2}), "invalid_number", "stop_loss"),
        (entry(stop_loss={"percent": 1, "portion": 2}), "invalid_number", "stop_loss"),
        (entry(stop_loss={"percent": -1}), "invalid_number", "stop_loss.percent"),
        (entry(stop_loss={"percent": "x"}), "invalid_number", "stop_loss.percent"),
        (entry(trailing_stop={"price": 1}), "invalid_number", "trailing_stop"),
        (entry(take_profit=[]), "invalid_number", "take_profit"),
        (entry(take_profit=[{"percent": 1, "portion": 1}] * 9), "invalid_number", "take_profit"),
        (entry(take_profit=[{"percent": 1}] * 2), "missing_field", "take_profit.portion"),
        (entry(take_profit=[{"percent": 1, "portion": 60}] * 2), "invalid_number", "take_profit.portion"),
        (entry(take_profit=[{"percent": 1, "portion": 0}]), "invalid_number", "take_profit.portion"),
    ],
)
def test_an_unusable_term_is_refused_by_name(body, code, field):
    error = refusal({name: value for name, value in body.items() if value is not ...})

    assert (error.code, error.params["field"]) == (code, field)


def test_protective_exits_are_read():
    leg = leg_of(
        stop_loss={"Percent": "2.5"},
        take_profit=[{"price": 99000, "portion": "50"}, {"offset": 5000, "portion": 50}],
        trailing_stop={"percent": 1},
        breakeven_after={"offset": 300},
    )

    assert leg.terms.protection == Protection(
        Distance(DistanceKind.PERCENT, D("2.5")),
        (
            TakeProfit(Distance(DistanceKind.PRICE, D(99000)), D(50)),
            TakeProfit(Distance(DistanceKind.OFFSET, D(5000)), D(50)),
        ),
        Distance(DistanceKind.PERCENT, D(1)),
        Distance(DistanceKind.OFFSET, D(300)),
    )


def test_a_single_take_profit_closes_everything():
    assert leg_of(take_profit={"price": 99000}).terms.protection.take_profits == (
        TakeProfit(Distance(DistanceKind.PRICE, D(99000))),
    )


@pytest.mark.parametrize(
    ("fields", "terms"),
    [
        ({"qty_per": ..., "quote_qty": "150"}, Terms(quote_qty=D(150))),
        ({"levered": False}, Terms(levered=False)),
        ({"time_in_force": "ioc"}, Terms(time_in_force=TimeInForce.IOC)),
        ({"reduce_only": "true", "side": ...}, Terms(reduce_only=True)),
    ],
)
def test_other_ways_to_size_are_read(fields, terms):
    leg = leg_of(**fields)

    assert leg.terms == terms
    assert leg.is_closing is terms.reduce_only


@pytest.mark.parametrize("order_type", ["CANCEL", "CANCEL_ALL_ORDER"])
def test_a_cancel_takes_a_tag(order_type):
    (leg,) = parse({"group_name": "g", "token": "t", "order_type": order_type, "tag": "grid 1"}).legs

    assert (leg.tag, leg.order_id) == ("grid 1", "")


def test_a_cancel_warns_about_what_it_does_not_use():
    delivery = parse(
        {**LIMIT, "order_type": "CANCEL_ALL_ORDER", "reduce_only": True, "stop_loss": {"price": 1}}
    )

    assert any("reduce_only" in warning for warning in map(str, delivery.warnings))


def test_the_content_tells_the_terms():
    assert parse(POSITION).content["orders"][0]["aim"] == {
        "position": "long",
        "before": "long",
        "size": "2",
        "size_before": "1",
    }
