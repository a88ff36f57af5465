"""A strategy with its accounts and its owner's token, ready to be traded."""

from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User

from audit.actor import Actor
from exchanges.models import Account
from exchanges.paper.testing import PaperControl
from exchanges.vault import credentials_of
from strategies.models import Strategy, StrategyAccount
from tests.factories import AccountFactory, StrategyAccountFactory, StrategyFactory, UserFactory, issue_token

Json = dict[str, Any]
PERSON = Actor("user:1", "orders.change_order", label="anna")
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
BTC_LIMIT = {"symbol": "BTC/USDT", "side": "buy", "order_type": "LIMIT", "price": "90000", "qty_per": 5}
BTC_MARKET = {"symbol": "BTC/USDT", "side": "buy", "order_type": "MARKET", "qty_per": 5}
BTC_CLOSE = {"symbol": "BTC/USDT", "side": "sell", "order_type": "MARKET", "qty_per": -100}
ETH_MARKET = {"symbol": "ETH/USDT", "side": "sell", "order_type": "MARKET", "qty_per": 10}
CANCEL_ALL = {"order_type": "CANCEL_ALL_ORDER"}


@dataclass
class Desk:
    """`accounts` by name. What is asked of `paper` is asked in the words of these accounts."""

    strategy: Strategy
    token: str = field(repr=False)
    paper: PaperControl
    accounts: dict[str, Account] = field(default_factory=dict)

    def alert(self, *parts: Json, **fields: Any) -> Json:
        alert: Json = {"group_name": self.strategy.group_name, "token": self.token}
        for part in (*parts, fields):
            alert |= part
        return alert

    def strategy_account(self, name: str) -> StrategyAccount:
        return StrategyAccount.objects.get(strategy=self.strategy, account=self.accounts[name])

    def add(self, account: Account, **strategy_account: Any) -> Account:
        """Another account takes part, and is open at the exchange."""
        self.accounts[account.name] = account
        StrategyAccountFactory(strategy=self.strategy, account=account, **strategy_account)
        open_at(self.paper, account)
        return account

    def key(self, name: str) -> str:
        return credentials_of(self.accounts[name]).api_key

    def ledger(self, name: str) -> Json:
        """What the exchange knows of an account."""
        return self.paper.account(self.key(name))

    def ledger_orders(self, name: str) -> list[Json]:
        return self.ledger(name)["orders"]

    def held(self, name: str, symbol: str = "BTCUSDT") -> str:
        rows = {row["symbol"]: row["positionAmt"] for row in self.ledger(name)["positions"]}
        return rows.get(symbol, "0")

    def posts(self, name: str) -> list[Json]:
        """Orders that were sent for an account, whatever became of them."""
        return [row for row in order_posts(self.paper) if row["api_key"] == self.key(name)]


def order_posts(paper: PaperControl) -> list[Json]:
    return [
        row for row in paper.requests() if row["method"] == "POST" and row["path"].lower().endswith("order")
    ]


def open_at(paper: PaperControl, account: Account) -> None:
    """The exchange checks signatures from here on."""
    paper.open_account(credentials_of(account).api_key, credentials_of(account).secret)


def open_desk(
    paper: PaperControl, *names: str, owner: User | None = None, capital: int = 20_000_000, **strategy: Any
) -> Desk:
    owner = owner or UserFactory(username="alice")
    row = StrategyFactory(owner=owner, **strategy)
    desk = Desk(row, issue_token(owner), paper)
    for name in names:
        known = Account.objects.filter(owner=owner, name=name).first()
        desk.add(known or AccountFactory(owner=owner, name=name), capital=capital)
    return desk
