"""Anything that may happen to a desk, in any order, by chance."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from exchanges.enums import TradingState
from orders.controls.leaving import LeaveChoice
from tests.machine.world import World

BTC, ETH = "BTCUSDT", "ETHUSDT"
PRICES = {BTC: ["90000", "94000", "95000", "96000", "100000"], ETH: ["3300", "3500", "3700"]}
# The order and its look-up, its cancel, the stops' own endpoints, spot, history, and everything.
PATHS = ["/fapi/v1/order", "/fapi/v1/algoOrder", "/api/v3/order", "/fapi/v1/userTrades", "/fapi/v1/", "/"]
UNCERTAIN: list[dict[str, Any]] = [
    {"action": "drop"},
    {"action": "reset_mid_body"},
    *({"action": "status", "value": status} for status in (500, 502, 503, 504)),
    *({"action": "garbage", "value": body} for body in ("html", "truncated", "empty", {}, [1, 2, 3], 7)),
    *({"action": "redirect", "value": status} for status in (302, 307)),
    *({"action": "code", "value": code} for code in (-1000, -1006, -1007, -2011, -2013)),
    {"action": "wrong_id"},
    {"action": "duplicate_fills"},
]
# An exchange that refuses in these words did not accept; it would be lying to say so afterwards.
REFUSALS: list[dict[str, Any]] = [
    {"action": "status", "value": 403},
    {"action": "status", "value": 418, "retry_after": 3},
    {"action": "code", "value": -1021},
    {"action": "code", "value": -2010, "msg": "Account has insufficient balance for requested action."},
    {"action": "code", "value": -2010, "msg": "Duplicate order sent."},
    {"action": "code", "value": -2019},
    {"action": "code", "value": -1013, "msg": "Filter failure: LOT_SIZE"},
    {"action": "code", "value": -2022},
    {"action": "code", "value": -1008},
    {"action": "code", "value": -4118},
    {"action": "code", "value": -4131},
    {"action": "code", "value": -5028},
    {"action": "code", "value": -2015},
    {"action": "code", "value": -1111},
    {"action": "unavailable", "value": "service"},
    {"action": "status", "value": 429, "retry_after": 1},
    {"action": "status", "value": 429, "retry_after": 7},
    {"action": "code", "value": -1003, "retry_after": 2},
]
SLOW: list[dict[str, Any]] = [
    {"action": "delay", "value": 0.4},
    {"action": "slow"},
    {"action": "lookup_lag", "value": 5},
    {"action": "lookup_lag", "value": 45},
]
DISTANCES = ["-1%", "+1%", "-5 ticks", "+20d"]
PLACES = ["K1", "K2", "K4", "K5", "K6", "K9", "K10", "K11", "K12"]

numbers = st.integers(0, 50)
desks = st.integers(0, 2)
states = st.sampled_from(list(TradingState))
sides = st.sampled_from(["buy", "sell"])


@st.composite
def orders(draw: Any) -> dict[str, Any]:
    symbol = draw(st.sampled_from([BTC, BTC, BTC, ETH]))
    kind = draw(st.sampled_from(["MARKET", "MARKET", "LIMIT", "LIMIT", "STOP_LIMIT", "STOP_MARKET"]))
    leg = {"symbol": symbol, "order_type": kind, "side": draw(sides)}
    leg["qty_per"] = draw(st.sampled_from(["1", "5", "5", "20", "150", "-100", "-50", "-33"]))
    if "LIMIT" in kind:
        leg["price"] = draw(st.sampled_from(PRICES[symbol] + DISTANCES))
    if "STOP" in kind:
        away = "+2%" if leg["side"] == "buy" else "-2%"
        leg["stop_price"] = draw(st.sampled_from([*PRICES[symbol], away]))
    return leg


@st.composite
def exits(draw: Any) -> dict[str, Any]:
    leg = draw(orders())
    return leg | {"qty_per": draw(st.sampled_from(["-100", "-100", "-50"]))}


cancels = st.fixed_dictionaries({"order_type": st.just("CANCEL"), "order_id": numbers})
cancel_alls = st.fixed_dictionaries(
    {"order_type": st.just("CANCEL_ALL_ORDER")}, optional={"symbol": st.just(BTC), "side": sides}
)
legs = st.one_of(orders(), orders(), orders(), cancels, cancel_alls)
deliveries = st.lists(legs, min_size=1, max_size=4)
faults = st.sampled_from(UNCERTAIN * 2 + REFUSALS + SLOW)


class OrderPath(RuleBasedStateMachine):
    """One world's life."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._life = world.alive()
        self.world = self._life.__enter__()

    def teardown(self) -> None:
        self._life.__exit__(None, None, None)

    @rule(desk=desks, legs=deliveries, named=st.booleans())
    def deliver(self, desk: int, legs: Any, named: bool) -> None:
        self.world.deliver(desk, legs, named=named)

    @rule(desk=desks, leg=orders())
    def trade(self, desk: int, leg: Any) -> None:
        self.world.deliver(desk, [leg])

    @rule(first=st.tuples(desks, deliveries), second=st.tuples(desks, deliveries))
    def deliver_at_once(self, first: Any, second: Any) -> None:
        self.world.deliver_at_once(first, second)

    @rule(which=numbers, copies=st.sampled_from([1, 1, 3]))
    def repeat(self, which: int, copies: int) -> None:
        self.world.repeat(which, copies=copies)

    @rule(data=st.data(), symbol=st.sampled_from([BTC, ETH]))
    def price(self, data: Any, symbol: str) -> None:
        self.world.price(symbol, data.draw(st.sampled_from(PRICES[symbol])))

    @rule(quantity=st.sampled_from([None, None, "0.01", "0.5"]))
    def liquidity(self, quantity: str | None) -> None:
        self.world.liquidity(BTC, quantity)

    @rule(
        fault=faults,
        path=st.sampled_from(PATHS),
        method=st.sampled_from(["", "POST", "POST", "GET", "DELETE"]),
        when=st.sampled_from(["before", "after"]),
        times=st.sampled_from([1, 1, 2, 5]),
        account=st.integers(0, 3),
    )
    def fault(self, fault: Any, path: str, method: str, when: str, times: int, account: int) -> None:
        moment = "before" if fault in REFUSALS else when
        self.world.fault(path=path, method=method, when=moment, times=times, account=account, **fault)

    @rule()
    def clear_faults(self) -> None:
        self.world.clear_faults()

    @rule(which=numbers, count=st.integers(1, 3))
    def cancel(self, which: int, count: int) -> None:
        self.world.cancel(which, count=count)

    @rule(place=st.sampled_from(PLACES), time=st.sampled_from([1, 1, 2, 3]))
    def crash(self, place: str, time: int) -> None:
        self.world.arm(place, time)

    @rule(seconds=st.sampled_from([0, 1, 5, 12, 70, 3600]))
    def recover(self, seconds: float) -> None:
        self.world.recover(seconds)

    @rule()
    def recover_twice_at_once(self) -> None:
        self.world.recover_twice_at_once()

    @rule(seconds=st.sampled_from([1, 7, 12, 70, 3600, 6 * 3600]))
    def forward(self, seconds: float) -> None:
        self.world.forward(seconds)

    @rule(level=numbers, state=states)
    def set_state(self, level: int, state: TradingState) -> None:
        self.world.set_state(level, state)

    @rule(level=numbers, state=states, desk=desks, legs=deliveries)
    def set_state_during(self, level: int, state: TradingState, desk: int, legs: Any) -> None:
        self.world.set_state_during(level, state, desk, legs)

    @rule(level=numbers, state=states, cancel_all=st.booleans(), close_all=st.booleans())
    def stop(self, level: int, state: TradingState, cancel_all: bool, close_all: bool) -> None:
        self.world.stop(level, state, cancel_all=cancel_all, close_all=close_all)

    @rule(
        account=numbers,
        symbol=st.sampled_from([BTC, BTC, ETH]),
        side=st.sampled_from(["BUY", "SELL", "SELL"]),
        quantity=st.sampled_from(["0.01", "0.5", "3"]),
    )
    def hand(self, account: int, symbol: str, side: str, quantity: str) -> None:
        self.world.hand(account, symbol, side, quantity)

    @rule(how=st.sampled_from(["liquidate", "adl"]), account=numbers, symbol=st.sampled_from([BTC, ETH]))
    def force(self, how: str, account: int, symbol: str) -> None:
        self.world.force(how, account, symbol)

    @rule(which=numbers, choice=st.sampled_from(list(LeaveChoice)))
    def switch(self, which: int, choice: LeaveChoice) -> None:
        self.world.switch(which, choice)

    @rule()
    def switch_on(self) -> None:
        self.world.switch_on()

    @rule(which=numbers, ends=st.booleans())
    def decide(self, which: int, ends: bool) -> None:
        self.world.decide(which, ends=ends)

    @rule(desk=desks, leg=exits(), cap=st.sampled_from([None, "0.01", "0.5"]))
    def leave_a_position(self, desk: int, leg: Any, cap: str | None) -> None:
        self.world.liquidity(BTC, cap)
        self.world.deliver(desk, [leg])

    @rule()
    def trade_again(self) -> None:
        self.world.trade_again()
