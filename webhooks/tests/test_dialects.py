"""The rules of each dialect at the edges: one changed field, and the leg or the refusal that follows."""

from decimal import Decimal

import pytest
from django.utils.translation import override

from webhooks.errors import WebhookError
from webhooks.message.dialects.recognition import read_own_message

TRADERSPOST = {"group_name": "g", "token": "t", "ticker": "BTCUSDT", "action": "buy", "quantity": Decimal(1)}
BOT = {"bot_uuid": "u", "secret": "s", "tv_exchange": "BINANCE", "tv_instrument": "BTCUSDT.P"}
ORDER = {"amount": Decimal(1), "currency_type": "base"}
ENTER = BOT | {"action": "enter_long", "order": ORDER}
OCTOBOT = {"exchange": "BINANCE", "symbol": "BTCUSDT", "signal": "BUY", "volume": "0.01"}
POABOT = {"password": "p", "exchange": "BINANCE", "base": "BTC", "quote": "USDT.P", "side": "entry/buy"}
OPENALGO = {"apikey": "k", "strategy": "s1", "symbol": "BTCUSDT", "action": "BUY", "quantity": "1"}
WEBHOOK = {"dialect": "openalgo-strategy", "mode": "BOTH", "symbol": "BTCUSDT", "action": "BUY"}
STRATEGY = BOT | {"action": "buy", "strategy_info": {"market_position": "long"}, "order": ORDER}
STEP = {"price_percent": Decimal(1), "volume_percent": Decimal(50)}


def changed(base, **changes):
    return {name: value for name, value in (base | changes).items() if value is not ...}


def read(base, **changes):
    return read_own_message(changed(base, **changes), is_text=base is OCTOBOT)


def leg_of(base, **changes):
    return read(base, **changes).fields["orders"][-1]


def refusal(base, **changes):
    with pytest.raises(WebhookError) as caught:
        read(base, **changes)
    return caught.value.code, caught.value.params.get("field")


def warnings_of(base, **changes):
    with override("en"):
        return " ".join(str(warning) for warning in read(base, **changes).warnings)


REFUSED = [
    (TRADERSPOST, {"dialect": "traderspost", "action": ...}, "missing_field", "action"),
    (TRADERSPOST, {"dialect": "traderspost", "ticker": ...}, "missing_field", "ticker"),
    (TRADERSPOST, {"ticker": "NQ1!"}, "invalid_symbol", "ticker"),
    (TRADERSPOST, {"action": "add"}, "unsupported_field", "action"),
    (TRADERSPOST, {"test": True}, "unsupported_field", "test"),
    (TRADERSPOST, {"quantitytype": "percent_of_position"}, "unsupported_field", "quantitytype"),
    (TRADERSPOST, {"quantitytype": "risk_dollar_amount"}, "unsupported_field", "quantitytype"),
    (TRADERSPOST, {"quantitytype": "risk_percent"}, "missing_field", "stoploss"),
    (TRADERSPOST, {"quantity": ...}, "missing_field", "quantity"),
    (TRADERSPOST, {"timeinforce": "day"}, "unsupported_field", "timeinforce"),
    (TRADERSPOST, {"leverage": "5"}, "unsupported_field", "leverage"),
    (TRADERSPOST, {"trailpercent": "5"}, "unsupported_field", "trailpercent"),
    (TRADERSPOST, {"stoploss": {"type": "stop_limit", "stopprice": 1}}, "unsupported_field", "stoploss.type"),
    (TRADERSPOST, {"stoploss": {"type": "stop"}}, "missing_field", "stoploss.stopprice"),
    (TRADERSPOST, {"takeprofit": {"percent": "1", "amount": "2"}}, "invalid_number", "takeprofit.limitprice"),
    (TRADERSPOST, {"takeprofit": "5"}, "invalid_number", "takeprofit"),
    (
        TRADERSPOST,
        {"stoploss": {"type": "trailing_stop", "trailpercent": "1", "percent": "2"}},
        "unsupported_field",
        "stoploss.type",
    ),
    (TRADERSPOST, {"action": "exit", "quantitytype": "dollar_amount"}, "unsupported_field", "quantitytype"),
    (ENTER, {"action": ...}, "missing_field", "action"),
    (ENTER, {"action": "buy"}, "missing_field", "strategy_info"),
    (ENTER, {"tv_exchange": "BINANCE_DLY"}, "invalid_symbol", "tv_exchange"),
    (ENTER, {"order": {"amount": "1"}}, "missing_field", "order.currency_type"),
    (
        ENTER,
        {"order": ORDER | {"currency_type": "position_percent"}},
        "unsupported_field",
        "order.currency_type",
    ),
    (ENTER, {"order": ORDER | {"order_type": "limit"}}, "price_required", None),
    (
        ENTER,
        {"order": ORDER | {"order_type": "limit", "price": "1", "price_percent": "1"}},
        "invalid_number",
        "order.price",
    ),
    (
        ENTER,
        {
            "order": ORDER
            | {"order_type": "limit", "price_percent": "1", "price_percent_ref_type": "avg_entry_price"}
        },
        "unsupported_field",
        "order.price_percent_ref_type",
    ),
    (ENTER, {"take_profit": {"enabled": True, "steps": []}}, "invalid_number", "take_profit.steps"),
    (ENTER, {"take_profit": {"steps": ["x"]}}, "invalid_number", "take_profit.steps"),
    (
        ENTER,
        {"take_profit": {"steps": [STEP | {"trailing": {"enabled": True}}]}},
        "unsupported_field",
        "take_profit.steps[0].trailing",
    ),
    (ENTER, {"stop_loss": {"order_type": "limit"}}, "unsupported_field", "stop_loss.order_type"),
    (ENTER, {"stop_loss": {"enabled": True}}, "missing_field", "stop_loss.trigger_price_percent"),
    (
        BOT,
        {"action": "exit_long", "order": ORDER | {"currency_type": "quote"}},
        "unsupported_field",
        "order.currency_type",
    ),
    (
        STRATEGY,
        {"strategy_info": {"market_position_size": "1"}},
        "missing_field",
        "strategy_info.market_position",
    ),
    (OCTOBOT, {"signal": ""}, "missing_field", "signal"),
    (OCTOBOT, {"volume": ""}, "missing_field", "volume"),
    (OCTOBOT, {"volume": "5x"}, "invalid_number", "volume"),
    (OCTOBOT, {"volume": "b5"}, "invalid_number", "volume"),
    (OCTOBOT, {"order_type": "limit", "price": "@5%"}, "invalid_number", "price"),
    (OCTOBOT, {"order_type": "limit", "price": "e5%"}, "unsupported_field", "price"),
    (OCTOBOT, {"order_type": "limit", "price": "5q"}, "unsupported_field", "price"),
    (OCTOBOT, {"order_type": "limit", "price": "abc"}, "invalid_number", "price"),
    (OCTOBOT, {"order_type": "limit", "price": "-5"}, "invalid_number", "price"),
    (OCTOBOT, {"order_type": "stop"}, "stop_price_required", None),
    (OCTOBOT, {"stop_price": "5%"}, "invalid_number", "stop_price"),
    (OCTOBOT, {"param_x": "5"}, "unsupported_field", "param_x"),
    (OCTOBOT, {f"take_profit_price_{n}": "9" for n in range(9)}, "unsupported_field", "take_profit_price"),
    (POABOT, {}, "missing_field", "amount"),
    (POABOT, {"side": ...}, "missing_field", "side"),
    (POABOT, {"amount": "1", "percent": "1"}, "invalid_number", "amount"),
    (POABOT, {"exchange": "KRAKEN", "amount": "1"}, "invalid_symbol", "exchange"),
    (POABOT, {"quote": "EUR", "amount": "1"}, "invalid_symbol", "quote"),
    (POABOT, {"exchange": "KRX", "amount": "0.5"}, "invalid_number", "amount"),
    (POABOT, {"amount": "1", "margin_mode": "cross"}, "unsupported_field", "margin_mode"),
    (OPENALGO, {"symbol": ..., "action": ..., "quantity": ...}, "ambiguous_dialect", None),
    (OPENALGO, {"action": ...}, "missing_field", "action"),
    (OPENALGO, {"disclosed_quantity": "1"}, "unsupported_field", "disclosed_quantity"),
    (OPENALGO, {"orders": []}, "missing_field", "orders"),
    (OPENALGO, {"orders": ["x"]}, "missing_field", "orders[0]"),
    (OPENALGO, {"position_size": ""}, "invalid_number", "position_size"),
    (WEBHOOK, {"mode": ...}, "missing_field", "mode"),
    (WEBHOOK, {"action": ...}, "missing_field", "action"),
    (WEBHOOK, {}, "missing_field", "position_size"),
    (WEBHOOK, {"position_size": "-1"}, "invalid_number", "position_size"),
    (WEBHOOK, {"action": "SELL", "position_size": "1"}, "invalid_number", "position_size"),
    (WEBHOOK, {"mode": "LONG"}, "missing_field", "quantity"),
    (ENTER, {"order_type": "LIMIT"}, "ambiguous_dialect", None),
    (ENTER, {"dialect": "nobody"}, "unsupported_dialect", None),
    ({"order_type": "BEST_LIMIT"}, {}, "unsupported_dialect", None),
    ({"order_type": "LIMIT", "stopprice": 1, "stop_price": 1}, {}, "unsupported_field", "stopprice"),
]


@pytest.mark.parametrize(("base", "changes", "code", "field"), REFUSED)
def test_what_would_be_another_trade_is_refused(base, changes, code, field):
    assert refusal(base, **changes) == (code, field)


MEANT = [
    (
        TRADERSPOST,
        {"action": "exit", "ordertype": "limit", "limitprice": "9", "quantity": ...},
        {"qty_per": Decimal(-100)},
    ),
    (TRADERSPOST, {"action": "exit"}, {"reduce_only": True, "qty": Decimal(1)}),
    (
        TRADERSPOST,
        {"action": "exit", "quantitytype": "percent_of_equity"},
        {"reduce_only": True, "qty_per": Decimal(1), "levered": False},
    ),
    (TRADERSPOST, {"action": "exit", "sentiment": "flat"}, {"reduce_only": True}),
    (ENTER, {"order": ORDER | {"currency_type": "margin_percent"}}, {"qty_per": Decimal(1)}),
    (
        ENTER,
        {"take_profit": {"enabled": True, "steps": [STEP, STEP]}},
        {"take_profit": [{"percent": Decimal(1), "portion": Decimal(50)}] * 2},
    ),
    (ENTER, {"stop_loss": {"trigger_price_percent": "2"}}, {"stop_loss": {"percent": Decimal(2)}}),
    (
        ENTER,
        {"stop_loss": {"trigger_price_percent": "2", "trailing": {"enabled": True, "percent": "1"}}},
        {"trailing_stop": {"percent": Decimal(1)}, "stop_loss": {"percent": Decimal(2)}},
    ),
    (
        ENTER,
        {"stop_loss": {"trailing": {"enabled": True, "percent": "1"}}},
        {"trailing_stop": {"percent": Decimal(1)}},
    ),
    (ENTER, {"stop_loss": {"enabled": False}}, {"qty": Decimal(1)}),
    (BOT, {"action": "exit_long", "order": ORDER}, {"reduce_only": True, "qty": Decimal(1)}),
    (BOT, {"action": "exit_long", "order": {}}, {"qty_per": Decimal(-100)}),
    (STRATEGY, {"strategy_info": {"market_position": "flat"}}, {"market_position": "flat", "side": "buy"}),
    (OCTOBOT, {"signal": "sell", "stop_price": "5%"}, {"stop_loss": {"percent": Decimal(5)}}),
    (OCTOBOT, {"volume": "20%a", "reduce_only": "true"}, {"qty_per": Decimal(20), "reduce_only": True}),
    (OCTOBOT, {"take_profit_price": "99"}, {"take_profit": {"price": Decimal(99)}}),
    (
        OCTOBOT,
        {
            "take_profit_price_1": "99",
            "take_profit_price_2": "100d",
            "take_profit_volume_ratio_1": "1",
            "take_profit_volume_ratio_2": "2",
        },
        {
            "take_profit": [
                {"price": Decimal(99), "portion": Decimal("33.3333")},
                {"offset": Decimal(100), "portion": Decimal("66.6667")},
            ]
        },
    ),
    (OCTOBOT, {"order_type": "limit", "price": "5%"}, {"price": "+5%"}),
    (OCTOBOT, {"order_type": "limit", "price": "- 0.5 %"}, {"price": "-0.5%"}),
    (OCTOBOT, {"order_type": "limit", "price": "100D"}, {"price": "+100d"}),
    (OCTOBOT, {"order_type": "limit", "price": "@65100"}, {"price": Decimal(65100)}),
    (
        OCTOBOT,
        {"signal": "sell", "order_type": "stop", "stop_price": "-5%"},
        {"stop_price": "-5%", "reduce_only": True, "order_type": "STOP_MARKET"},
    ),
    (
        ENTER,
        {"order": ORDER | {"order_type": "limit", "price_percent": "1.50"}},
        {"price": "+1.50%", "order_type": "LIMIT"},
    ),
    (
        ENTER,
        {
            "order": ORDER
            | {"order_type": "limit", "price_percent": "-1", "price_percent_ref_type": "current_price"}
        },
        {"price": "-1%"},
    ),
    (OCTOBOT, {"tag": "grid"}, {"tag": "grid"}),
    (
        POABOT,
        {"side": "sell", "quote": "USDT", "percent": "10"},
        {"qty_per": Decimal(-10), "symbol": "BTC/USDT"},
    ),
    (POABOT, {"amount": "1,5", "order_name": "n"}, {"qty": Decimal(15), "tag": "n"}),
    (
        POABOT,
        {"amount": "1", "stop_price": "9", "profit_price": "11"},
        {"stop_loss": {"price": Decimal(9)}, "take_profit": {"price": Decimal(11)}},
    ),
    (OPENALGO, {"product": "MIS"}, {"qty": Decimal(1), "tag": "s1"}),
    (
        OPENALGO,
        {"orderid": "1", "action": ..., "quantity": ...},
        {"order_type": "CANCEL", "symbol": "BTCUSDT"},
    ),
    (WEBHOOK, {"position_size": "5"}, {"target_qty": Decimal(5), "order_type": "MARKET"}),
    (WEBHOOK, {"position_size": "0"}, {"market_position": "flat"}),
    (
        WEBHOOK,
        {"mode": "SHORT", "action": "SELL", "position_size": "-5"},
        {"side": "sell", "qty": Decimal(5)},
    ),
    (WEBHOOK, {"mode": "LONG", "quantity": "2"}, {"side": "buy", "qty": Decimal(2)}),
]


@pytest.mark.parametrize(("base", "changes", "meant"), MEANT)
def test_a_field_means_what_it_means_to_its_system(base, changes, meant):
    leg = leg_of(base, **changes)

    assert {name: leg.get(name) for name in meant} == meant


@pytest.mark.parametrize(
    ("base", "changes", "words"),
    [
        (TRADERSPOST, {"action": "exit", "sentiment": "long"}, "sentiment was ignored"),
        (TRADERSPOST, {"action": "exit", "timeinforce": "day"}, "timeinforce was ignored"),
        (TRADERSPOST, {"action": "exit", "leverage": 5, "colour": 1}, "Unknown fields were ignored: colour"),
        (POABOT, {"side": "close/sell", "amount": "1", "stop_price": "1"}, "stop_price was ignored"),
        (
            OCTOBOT,
            {"volume": "5p", "stop_price": "1", "allow_holdings_adaptation": "true"},
            "stop_price was ignored",
        ),
        (OPENALGO, {"product": "MIS"}, "product MIS was ignored"),
    ],
)
def test_an_exit_goes_on_with_a_warning(base, changes, words):
    assert words in warnings_of(base, **changes)


def test_a_basket_buys_first():
    item = {"symbol": "BTCUSDT", "quantity": "1"}
    orders = [item | {"action": "SELL"}, item | {"action": "BUY"}]

    legs = read({"apikey": "k", "strategy": "s1", "orders": orders}).fields["orders"]

    assert [(leg["side"], leg["priority"]) for leg in legs] == [("sell", 1), ("buy", 0)]


def test_the_strategy_of_openalgo_serves_as_the_group_where_none_is_given():
    assert read(OPENALGO).fields["group_name"] == "s1"
    assert read(OPENALGO, group_name="g").fields["group_name"] == "g"


def test_what_the_caller_has_to_agree_with_is_told():
    octobot = read(OCTOBOT, volume="5%", trading_type="future", leverage="3")

    assert (octobot.percent_of_balance, octobot.market_type, octobot.leverage) == (
        True,
        "FUTURES",
        Decimal(3),
    )
    assert read(TRADERSPOST, quantitytype="percent_of_equity").percent_of_balance is True
    assert read(TRADERSPOST).percent_of_balance is False


def test_a_named_dialect_or_the_default_decides_and_nothing_else_is_tried():
    own = read_own_message({"dialect": "own", **ENTER})

    assert own.dialect == "own"
    with pytest.raises(WebhookError):
        read_own_message({"order_type": "MARKET", "symbol": "BTCUSDT"}, default="traderspost")


def test_a_recognized_dialect_is_named_in_the_warnings():
    assert "a message for openalgo" in warnings_of(OPENALGO)
    assert "a message for openalgo" not in warnings_of(OPENALGO, dialect="openalgo")
