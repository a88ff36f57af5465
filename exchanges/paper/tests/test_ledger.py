"""Whatever is done to the ledger: money is conserved, and orders are the sum of their trades."""

from collections import defaultdict
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.paper.endpoints import algo, futures, spot
from exchanges.paper.endpoints.call import Call
from exchanges.paper.engine.codec import dumps, loads
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.ledger import OPENING_BALANCE, Ledger
from exchanges.paper.engine.matching import cancel_resting_order, fill_in_parts, move_price
from exchanges.paper.engine.outside import deleverage, liquidate, pay_funding
from exchanges.paper.engine.store import build_record

ENDPOINT = {"spot": spot.create_order, "futures": futures.create_order, "algo": algo.create_algo}

prices = st.integers(900, 1000).map(lambda hundred: str(hundred * 100))
quantities = st.integers(1, 300).map(lambda thousandth: str(Decimal(thousandth) / 100))
sides = st.sampled_from(["BUY", "SELL"])
times_in_force = st.sampled_from(["GTC", "IOC", "FOK"])
kinds = {
    "spot": ["LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
    "futures": ["LIMIT", "MARKET"],
    "algo": ["STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
}


@st.composite
def placements(draw):
    where = draw(st.sampled_from(list(kinds)))
    kind = draw(st.sampled_from(kinds[where]))
    params = {"symbol": "BTCUSDT", "side": draw(sides), "type": kind, "quantity": draw(quantities)}
    params |= {"timeInForce": draw(times_in_force), "algoType": "CONDITIONAL"}
    params |= {"stopPrice": draw(prices), "triggerPrice": draw(prices)}
    if kind not in ("MARKET", "STOP_LOSS", "STOP_MARKET", "TAKE_PROFIT_MARKET"):
        params["price"] = draw(prices)
    if where != "spot":
        params["reduceOnly"] = draw(st.sampled_from(["true", "false"]))
    return "place", where, params


moves = st.tuples(st.just("move"), prices)
outside = st.tuples(st.sampled_from(["liquidate", "adl", "fund", "forget", "part"]), quantities)
caps = st.tuples(st.just("cap"), quantities)
cancels = st.tuples(st.just("cancel"), st.sampled_from(["spot", "futures"]))


def play(ledger, account, steps):
    for now, step in enumerate(steps, start=1):
        try:
            act(ledger, account, step, now)
        except Refusal:
            continue
        check(ledger, account)


def act(ledger, account, step, now):
    if step[0] == "move":
        move_price(ledger, "BTCUSDT", Decimal(step[1]), now)
    elif step[0] == "cap":
        ledger.liquidity["BTCUSDT"] = Decimal(step[1])
    elif step[0] == "cancel":
        cancel_all = spot.cancel_open_orders if step[1] == "spot" else futures.cancel_open_orders
        cancel_all(Call(ledger, account, {"symbol": "BTCUSDT"}, now))
    elif step[0] in OUTSIDE:
        OUTSIDE[step[0]](ledger, account, Decimal(step[1]), now)
    else:
        ENDPOINT[step[1]](Call(ledger, account, step[2], now))


def forget_an_order(ledger, account, quantity, now):
    for order in list(ledger.blotters[account.api_key].orders.values())[:1]:
        if order.is_open:
            cancel_resting_order(ledger, order, now)
        ledger.drop_order(order)


def fill_an_order_in_parts(ledger, account, quantity, now):
    for order in ledger.blotters[account.api_key].open_orders("futures")[:1]:
        fill_in_parts(ledger, order, min(order.remaining, quantity), 7, now)


OUTSIDE = {
    "liquidate": lambda ledger, account, quantity, now: liquidate(
        ledger, account, "BTCUSDT", quantity, None, now
    ),
    "adl": lambda ledger, account, quantity, now: deleverage(ledger, account, "BTCUSDT", quantity, None, now),
    "fund": lambda ledger, account, quantity, now: pay_funding(ledger, "BTCUSDT", quantity / 1000, now),
    "forget": forget_an_order,
    "part": fill_an_order_in_parts,
}


def check(ledger, account):
    blotter = ledger.blotters[account.api_key]
    check_orders(blotter)
    check_spot_money(account, blotter)
    check_futures_money(account, blotter)


def check_orders(blotter):
    filled = defaultdict(Decimal)
    for trades in blotter.trades.values():
        for trade in trades:
            filled[trade.market, trade.order_id] += trade.qty
    for name, order in blotter.orders.items():
        assert order.executed == filled[name] <= order.qty
        assert (order.status == "FILLED") == (order.executed == order.qty)
        assert order.is_open or order.reserved == 0


def check_spot_money(account, blotter):
    expected = defaultdict(Decimal, USDT=OPENING_BALANCE, BTC=Decimal(10))
    for trade in blotter.trades["spot", "BTCUSDT"]:
        sign = 1 if trade.side == "BUY" else -1
        expected["BTC"] += sign * trade.qty
        expected["USDT"] -= sign * trade.quote_qty
        expected[trade.commission_asset] -= trade.commission
    for asset, wallet in account.spot.items():
        assert wallet.free + wallet.locked == expected[asset]
        assert min(wallet.free, wallet.locked) >= 0
    reserved = sum((order.reserved for order in blotter.open_orders("spot")), Decimal(0))
    assert sum(wallet.locked for wallet in account.spot.values()) == reserved


def check_futures_money(account, blotter):
    trades = blotter.trades["futures", "BTCUSDT"]
    earned = sum((trade.realized_pnl - trade.commission for trade in trades), Decimal(0))
    held = sum((trade.qty if trade.side == "BUY" else -trade.qty for trade in trades), Decimal(0))
    paid = sum((income.amount for income in blotter.income), Decimal(0))
    assert account.margin_balance == OPENING_BALANCE + earned + paid
    assert account.position("BTCUSDT").amount == held
    pending = sum((order.reserved for order in blotter.open_orders("futures")), Decimal(0))
    assert sum(blotter.pending.values()) == pending


def a_ledger():
    ledger = Ledger()
    account = ledger.open_account("alice", "", {"USDT": OPENING_BALANCE, "BTC": Decimal(10)})
    return ledger, account


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(placements(), placements(), moves, moves, caps, cancels, outside), max_size=40))
def test_money_is_conserved_and_orders_are_the_sum_of_their_trades(steps):
    ledger, account = a_ledger()

    play(ledger, account, steps)

    check(ledger, account)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(placements(), moves, outside), max_size=30))
def test_every_record_comes_back_from_its_json_as_it_was(steps):
    ledger, account = a_ledger()
    play(ledger, account, steps)

    kept = [record for key, record in ledger.changes.items() if key[0] != "counters" and record]

    assert [build_record(type(record), loads(dumps(record))) for record in kept] == kept


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(sides, quantities, prices), max_size=20), prices)
def test_profit_realized_and_open_is_what_the_trades_made(trades, last):
    ledger, account = a_ledger()
    for now, (side, quantity, price) in enumerate(trades):
        move_price(ledger, "BTCUSDT", Decimal(price), now)
        order = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity}
        futures.create_order(Call(ledger, account, order, now))

    position, made = account.position("BTCUSDT"), ledger.blotters["alice"].trades["futures", "BTCUSDT"]
    cash = sum((trade.quote_qty * (-1 if trade.side == "BUY" else 1) for trade in made), Decimal(0))
    realized = sum((trade.realized_pnl for trade in made), Decimal(0))
    still_open = position.amount * (Decimal(last) - position.entry_price)
    assert abs(realized + still_open - (cash + position.amount * Decimal(last))) < Decimal("0.000001")
