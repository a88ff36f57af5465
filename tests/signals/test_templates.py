"""Each template of docs/tradingview.md, driven by chance: every account follows the script."""

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection

from exchanges.models import Account
from exchanges.shares import WeightShares
from orders.models import Batch, ExitGoal, Position
from tests.crash import track
from tests.desk import Desk, open_desk
from tests.factories import AccountFactory
from tests.signals.tradingview import Fill, Script, fill_template, word
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNTS = {"A1": 1_000_000, "A2": 2_500_000, "A3": 400_000}
LOT = Decimal("0.001")
# Of each template, market and disturbance: more than 300 together on SQLite, some on the slower PostgreSQL.
# Of each kind; SIGNAL_SEQUENCES=20 for a longer run.
SEQUENCES = int(os.environ.get("SIGNAL_SEQUENCES", "12" if connection.vendor == "sqlite" else "4"))
PAGE = Path(__file__).parents[2] / "docs" / "tradingview.md"


@pytest.fixture(autouse=True)
def roomy(monkeypatch):
    """Hundreds of alerts in one real minute: entries and look-ups would wait for the weight of the next minute."""
    monkeypatch.setattr(WeightShares, "has_room", lambda *_, **__: True)


def template(name: str) -> str:
    """The message of a template, as the page prints it."""
    section = PAGE.read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    return section.split("```json\n")[1].split("```")[0]


def test_the_message_of_the_readme_is_the_first_template():
    assert template("A whole strategy") in (PAGE.parents[1] / "README.md").read_text()


@dataclass
class Follower:
    """Sends the script's alerts to the desk and compares the accounts with the script."""

    desk: Desk
    deliver: Callable[..., Any]
    text: str
    ticker: str

    def send(self, fill: Fill, price: Decimal) -> dict[str, Any]:
        text = fill_template(self.text, fill.placeholders(self.ticker, price))
        text = text.replace("YOUR GROUP", self.desk.strategy.group_name).replace(
            "YOUR TOKEN", self.desk.token
        )
        answer = self.deliver(json.loads(text))
        assert answer.status_code == 200, answer.json()
        eventually(lambda: not Batch.objects.unfinished().exists(), what="the end of the alert's run")
        return answer.json()

    def held(self) -> dict[str, Decimal]:
        rows = Position.objects.filter(strategy_account__strategy=self.desk.strategy, is_dust=False)
        found = dict(rows.values_list("strategy_account__account__name", "quantity"))
        return {name: found.get(name, Decimal(0)) for name in ACCOUNTS}

    def assert_sides(self, size: Decimal) -> None:
        assert {word(quantity) for quantity in self.held().values()} == {word(size)}

    def assert_contracts(self, size: Decimal) -> None:
        """Every account holds as much as the script, within one lot."""
        self.assert_sides(size)
        assert all(abs(quantity - size) <= LOT for quantity in self.held().values()), self.held()

    def assert_proportional(self, orders: int) -> None:
        """What the accounts hold relates like their capital. Each of the orders was rounded to the lot."""
        held = self.held()
        most = max(ACCOUNTS, key=lambda name: ACCOUNTS[name])
        for name, capital in ACCOUNTS.items():
            wanted = held[most] * capital / ACCOUNTS[most]
            assert abs(held[name] - wanted) <= LOT * 2 * (orders + 1), (name, held, wanted)


def open_follower(deliver, paper, owner, number, market, text):
    desk = open_desk(paper, owner=owner, group_name=f"s{number}", market_type=market)
    for name, capital in ACCOUNTS.items():
        account = Account.objects.filter(owner=owner, name=name).first()
        desk.add(account or AccountFactory(owner=owner, name=name), capital=capital)
    return Follower(desk, deliver, text, "BTCUSDT.P" if market == "FUTURES" else "BTCUSDT")


def prices(paper, chance: random.Random) -> Iterator[Decimal]:
    price = Decimal(95000)
    while True:
        price = (price * chance.randint(970, 1030) / 1000).quantize(Decimal(1))
        paper.set_prices({"BTCUSDT": str(price)})
        cache.clear()
        yield price


@pytest.mark.parametrize("market", ["FUTURES", "SPOT"])
@pytest.mark.parametrize("disturbance", ["none", "dropped", "doubled", "reordered"])
def test_a_whole_strategy(deliver, paper, alice, market, disturbance):
    text = template("A whole strategy")
    for number in range(SEQUENCES):
        chance = random.Random(f"{market} {disturbance} {number}")
        follower = open_follower(deliver, paper, alice, number, market, text)
        script = Script(chance, unit=Decimal("0.01"), may_short=market == "FUTURES")
        if disturbance == "dropped":
            # A lost entry and a second one of the same size in the same second cannot be told apart.
            script.pauses_s = (1, 2, 60)
        waiting: Fill | None = None
        for price in islice(prices(paper, chance), 6):
            fill = script.trade()
            if disturbance == "dropped" and chance.random() < 0.3:
                continue
            if disturbance == "reordered" and waiting is None and chance.random() < 0.4:
                waiting = fill
                continue
            for _ in range(2 if disturbance == "doubled" else 1):
                follower.send(fill, price)
            if waiting is not None:
                follower.send(waiting, price)
                waiting = None
            follower.assert_contracts(script.size)


@pytest.mark.parametrize("market", ["FUTURES", "SPOT"])
@pytest.mark.parametrize("drops", [0, 0.3])
def test_stop_and_reverse(deliver, paper, alice, market, drops):
    text = template("Stop and reverse")
    for number in range(SEQUENCES):
        chance = random.Random(f"reverse {market} {number}")
        follower = open_follower(deliver, paper, alice, number, market, text)
        script = Script(
            chance, unit=Decimal(1), may_short=market == "FUTURES", may_add=False, may_reduce=False
        )
        if drops:
            script.pauses_s = (1, 2, 60)
        for price in islice(prices(paper, chance), 6):
            fill = script.trade()
            if chance.random() < drops:
                continue
            follower.send(fill, price)
            follower.assert_sides(script.size)
            follower.assert_proportional(1)


@pytest.mark.parametrize("market", ["FUTURES", "SPOT"])
def test_pyramiding_and_scaling_out(deliver, paper, alice, market):
    text = template("Pyramiding and scaling out")
    for number in range(SEQUENCES):
        chance = random.Random(f"pyramid {market} {number}")
        follower = open_follower(deliver, paper, alice, number, market, text)
        script = Script(chance, unit=Decimal(1), may_short=market == "FUTURES")
        orders = 0
        for price in islice(prices(paper, chance), 8):
            before = follower.held()
            fill = script.trade()
            follower.send(fill, price)
            orders = orders + 1 if fill.size * fill.size_before > 0 else 1
            follower.assert_sides(script.size)
            follower.assert_proportional(orders)
            if abs(fill.size) < abs(fill.size_before) and fill.size * fill.size_before > 0:
                kept = {name: quantity * fill.size / fill.size_before for name, quantity in before.items()}
                assert all(abs(follower.held()[name] - kept[name]) <= LOT for name in ACCOUNTS)


@pytest.mark.parametrize("market", ["FUTURES", "SPOT"])
@pytest.mark.parametrize("name", ["Indicator alerts", "Targets"])
def test_targets(deliver, paper, alice, market, name):
    text = template(name)
    for number in range(SEQUENCES // 2):
        chance = random.Random(f"{name} {market} {number}")
        follower = open_follower(deliver, paper, alice, number, market, text)
        for count, price in enumerate(islice(prices(paper, chance), 8)):
            percent = chance.choice([-10, 0, 5, 10, 25] if market == "FUTURES" else [0, 5, 10, 25])
            at = Fill(f"{count}", Decimal(0), Decimal(percent), Decimal(0), _at(count))
            follower.text = text.replace('"{{plot(\\"Target\\")}}"', str(percent)).replace(
                '"target_per": 10', f'"target_per": {percent}'
            )
            follower.send(at, price)
            for account, capital in ACCOUNTS.items():
                wanted = Decimal(capital) * percent / 100 / price
                fee = abs(wanted) / 1000  # the spot market takes the fee in coins
                assert abs(follower.held()[account] - wanted) <= 2 * LOT + fee, (account, percent)


@pytest.mark.parametrize("market", ["FUTURES", "SPOT"])
def test_brackets(deliver, paper, alice, market):
    """Every position has its stop, no exit is beyond its position, and flat leaves nothing at the exchange."""
    text = template("Brackets")
    for number in range(SEQUENCES // 4):
        chance = random.Random(f"brackets {market} {number}")
        follower = open_follower(deliver, paper, alice, number, market, text)
        script = Script(
            chance, unit=Decimal(1), may_short=market == "FUTURES", may_add=False, may_reduce=False
        )
        for price in islice(prices(paper, chance), 4):
            track(after_s=5)  # what the moved price has triggered is booked
            fill = script.trade()
            follower.send(fill, price)
            follower.assert_sides(script.size)
            follower.assert_proportional(2)
            track(after_s=5)
            held = follower.held()
            exits = ExitGoal.objects.pursued().filter(
                strategy=follower.desk.strategy, protection__isnull=False
            )
            assert all(
                goal.wanted <= abs(held[goal.account.name]) for goal in exits.select_related("account")
            )
            assert exits.filter(step=0, state="resting").count() == (len(ACCOUNTS) if script.size else 0)
            assert exits.exists() == bool(script.size)


def _at(count: int) -> datetime:
    return datetime(2026, 11, 25, 10, count, tzinfo=UTC)
