"""The state of the paper exchange in memory: accounts, prices, orders, trades, and counters.

No function of this module does IO. The ledger notes every change in `changes`, and the store writes the changes before
a reply leaves.
"""

from collections import defaultdict
from decimal import Decimal
from typing import Union

from exchanges.paper.engine.blotter import Blotter
from exchanges.paper.engine.catalog import (
    DELISTED,
    FUTURES,
    MARKETS,
    OPENING_PRICES,
    TRADED,
    Market,
    changed_market,
)
from exchanges.paper.engine.codec import Json
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.records import (
    Account,
    AlgoOrder,
    AnyOrder,
    Income,
    Order,
    Position,
    Trade,
    Wallet,
)

OPENING_BALANCE = Decimal(50_000_000)
DEFAULT_LEVERAGE = 20
FIRST_ID = 1_000_000

ChangeKey = tuple[str, *tuple[str | int, ...]]  # the kind of the record, then its name within the kind
Changed = Union[
    Account, AnyOrder, Trade, Income, "Ledger", None
]  # the ledger stands for its counters, None for a deletion


class Ledger:
    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.other_keys: dict[str, Account] = {}  # accounts by their keys other than the first
        self.blotters: dict[str, Blotter] = {}
        self.prices: dict[str, Decimal] = dict(OPENING_PRICES)
        self.references: dict[str, Decimal] = {}
        self.liquidity: dict[str, Decimal] = {}
        self.depth: dict[str, Decimal] = {}
        self.rules: dict[str, dict[str, dict[str, str]]] = {}  # changed rules by market and symbol
        self.markets: dict[str, dict[str, Market]] = {
            kind: dict(markets) for kind, markets in MARKETS.items()
        }
        self.last_id = FIRST_ID
        self.last_tran_id = FIRST_ID
        self.trade_ids: dict[str, int] = {}
        self.resting: dict[str, dict[int, AnyOrder]] = defaultdict(dict)
        self.changes: dict[ChangeKey, Changed] = {}

    # accounts

    def open_account(
        self, api_key: str, secret: str = "", balances: dict[str, Decimal] | None = None
    ) -> Account:
        """Opens an account, or returns the existing account unchanged. Registers a secret that comes later."""
        account = self.find_account(api_key) or self._new_account(api_key, balances)
        if account.api_key == api_key:
            account.secret = secret or account.secret
        else:
            account.more_keys[api_key] = secret or account.more_keys[api_key]
        self.touch_account(account)
        return account

    def find_account(self, api_key: str) -> Account | None:
        return self.accounts.get(api_key) or self.other_keys.get(api_key)

    def add_key(self, account: Account, api_key: str, secret: str) -> None:
        """Gives an account one more API key. Raises Refusal where the key has traded on an account of its own."""
        found = self.find_account(api_key)
        if found and found is not account:
            if self.blotters[found.api_key].orders or found.api_key != api_key:
                raise Refusal(-1104, f"{api_key} has an account of its own.")
            del self.accounts[api_key], self.blotters[api_key]
            self.changes["account", api_key] = None
        account.more_keys[api_key] = secret
        self.other_keys[api_key] = account
        self.touch_account(account)

    def _new_account(self, api_key: str, balances: dict[str, Decimal] | None) -> Account:
        opening = {"USDT": OPENING_BALANCE} if balances is None else balances
        account = Account(api_key)
        account.spot = {asset: Wallet(free=amount) for asset, amount in opening.items()}
        account.margin_balance = opening.get("USDT", Decimal(0))
        self.restore_account(account)
        return account

    def restore_account(self, account: Account) -> None:
        self.accounts[account.api_key] = account
        self.other_keys |= dict.fromkeys(account.more_keys, account)
        self.blotters[account.api_key] = Blotter()

    def leverage(self, account: Account, symbol: str) -> int:
        return account.leverage.get(symbol, DEFAULT_LEVERAGE)

    def position(self, account: Account, symbol: str) -> Position:
        return account.positions.setdefault(symbol, Position())

    # names

    def market(self, kind: str, symbol: str) -> Market:
        found = self.markets[kind].get(symbol)
        if found is None:
            raise Refusal(-1121)
        return found

    def open_market(self, kind: str, symbol: str) -> Market:
        """The market for a new order. Raises Refusal where the market is delisted or closed."""
        found = self.market(kind, symbol)
        if found.status == DELISTED:
            raise Refusal(-1121)
        if found.status not in TRADED:
            raise Refusal(-4141) if kind == FUTURES else Refusal(-2010, "Market is closed.")
        return found

    def listed_markets(self, kind: str) -> dict[str, Market]:
        return {symbol: market for symbol, market in self.markets[kind].items() if market.status != DELISTED}

    def change_rules(self, kind: str, symbol: str, rules: dict[str, str]) -> None:
        """Sets the changed rules of a market. No rules stand for the checked-in rules."""
        original = MARKETS[kind][symbol]
        self.rules.setdefault(kind, {})[symbol] = rules
        self.markets[kind][symbol] = changed_market(original, rules)
        if not rules:
            del self.rules[kind][symbol]
        self.touch_counters()

    def reference_price(self, symbol: str) -> Decimal:
        """The price in the middle of the price bands: the mark price on futures, the average price on spot."""
        return self.references.get(symbol, self.prices[symbol])

    def next_id(self) -> int:
        self.last_id += 1
        self.touch_counters()
        return self.last_id

    def next_tran_id(self) -> int:
        self.last_tran_id += 1
        self.touch_counters()
        return self.last_tran_id

    def next_trade_id(self, kind: str, symbol: str) -> int:
        """Counts trade ids by market and symbol, as Binance does: trades of two symbols may have the same id."""
        name = f"{kind}:{symbol}"
        self.trade_ids[name] = self.trade_ids.get(name, 0) + 1
        self.touch_counters()
        return self.trade_ids[name]

    # the book

    def offered_quantity(self, symbol: str, wanted: Decimal) -> Decimal:
        """The part of a wanted quantity that the book offers one order."""
        return min(wanted, self.liquidity.get(symbol, wanted), self.depth.get(symbol, wanted))

    def take_liquidity(self, symbol: str, qty: Decimal) -> None:
        if symbol in self.depth:
            self.depth[symbol] -= qty
            self.touch_counters()

    # orders

    def add_order(self, order: Order) -> None:
        self.blotters[order.api_key].add_order(order)
        if order.is_open:
            self.resting[order.symbol][order.order_id] = order
        self.touch_order(order)

    def add_algo(self, algo: AlgoOrder) -> None:
        self.blotters[algo.api_key].add_algo(algo)
        if algo.is_open:
            self.resting[algo.symbol][algo.algo_id] = algo
        self.touch_algo(algo)

    def add_trade(self, trade: Trade) -> None:
        self.blotters[trade.api_key].add_trade(trade)
        self.changes["trade", trade.market, trade.symbol, trade.id] = trade

    def add_income(self, income: Income) -> None:
        self.blotters[income.api_key].income.append(income)
        self.changes["income", income.tran_id] = income

    def drop_order(self, order: Order) -> None:
        """Forgets an order that has ended. The trades of the order stay."""
        self.blotters[order.api_key].drop_order(order)
        self.changes["order", order.market, order.order_id] = None

    def drop_algo(self, algo: AlgoOrder) -> None:
        self.blotters[algo.api_key].drop_algo(algo)
        self.changes["algo", algo.algo_id] = None

    def close(self, order: Order, status: str, now: int) -> None:
        order.status = status
        order.updated = now
        self.blotters[order.api_key].close_order(order)
        self.resting[order.symbol].pop(order.order_id, None)
        self._finish_parent(order, now)
        self.touch_order(order)

    def close_algo(self, algo: AlgoOrder, status: str, now: int) -> None:
        algo.status = status
        algo.updated = now
        self.blotters[algo.api_key].close_algo(algo)
        self.resting[algo.symbol].pop(algo.algo_id, None)
        self.touch_algo(algo)

    def _finish_parent(self, order: Order, now: int) -> None:
        parent = self.blotters[order.api_key].algos.get(order.algo_id)
        if parent and parent.status == "TRIGGERED":
            self.close_algo(parent, "FINISHED", now)

    # changes

    def touch_account(self, account: Account) -> None:
        self.changes["account", account.api_key] = account

    def touch_order(self, order: Order) -> None:
        self.changes["order", order.market, order.order_id] = order

    def touch_algo(self, algo: AlgoOrder) -> None:
        self.changes["algo", algo.algo_id] = algo

    def touch_counters(self) -> None:
        self.changes["counters",] = self

    def counters(self) -> Json:
        return {
            "last_id": self.last_id,
            "last_tran_id": self.last_tran_id,
            "trade_ids": self.trade_ids,
            "prices": self.prices,
            "references": self.references,
            "liquidity": self.liquidity,
            "depth": self.depth,
            "rules": self.rules,
        }

    def wipe(self) -> None:
        """Empties the ledger and sets opening prices. Ids go on counting."""
        counted = self.last_id, self.last_tran_id, self.trade_ids
        self.__init__()  # type: ignore[misc]
        self.last_id, self.last_tran_id, self.trade_ids = counted
        self.touch_counters()


def margin_symbols(account: Account, blotter: Blotter) -> set[str]:
    held = {symbol for symbol, position in account.positions.items() if position.amount}
    return held | {symbol for (symbol, _), amount in blotter.pending.items() if amount}
