"""Margin of futures: cross margin, one-way mode. All amounts are USDT.

https://www.binance.com/en/support/faq/how-to-calculate-cost-required-to-open-a-position-in-perpetual-futures-contracts
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from exchanges.paper.engine.blotter import SymbolSide
from exchanges.paper.engine.ledger import Ledger, margin_symbols
from exchanges.paper.engine.records import ZERO, Account

MAINTENANCE_RATE = Decimal("0.004")


@dataclass(frozen=True, slots=True)
class Margin:
    wallet: Decimal
    unrealized: Decimal
    of_positions: Decimal
    of_orders: Decimal

    @property
    def initial(self) -> Decimal:
        return self.of_positions + self.of_orders

    @property
    def balance(self) -> Decimal:
        return self.wallet + self.unrealized

    @property
    def available(self) -> Decimal:
        return max(ZERO, self.balance - self.initial)


def unrealized_profit(ledger: Ledger, account: Account, symbol: str) -> Decimal:
    position = account.position(symbol)
    return position.amount * (ledger.prices[symbol] - position.entry_price) + ZERO


class SymbolMargin(NamedTuple):
    """Initial margin of one symbol: of the position alone, and of the position with all open orders."""

    of_position: Decimal
    total: Decimal


def symbol_margin(
    ledger: Ledger, account: Account, symbol: str, extra_buy: Decimal = ZERO, extra_sell: Decimal = ZERO
) -> SymbolMargin:
    """Computes the initial margin. The total assumes the worse case: all bids fill, or all asks fill."""
    pending = ledger.blotters[account.api_key].pending
    held = account.position(symbol).amount * ledger.prices[symbol]
    bids = held + pending.get(SymbolSide(symbol, "BUY"), ZERO) + extra_buy
    asks = held - pending.get(SymbolSide(symbol, "SELL"), ZERO) - extra_sell
    leverage = ledger.leverage(account, symbol)
    return SymbolMargin(abs(held) / leverage, max(abs(bids), abs(asks)) / leverage)


def account_margin(ledger: Ledger, account: Account) -> Margin:
    symbols = margin_symbols(account, ledger.blotters[account.api_key])
    parts = [symbol_margin(ledger, account, symbol) for symbol in symbols]
    of_positions = sum((part.of_position for part in parts), ZERO)
    return Margin(
        wallet=account.margin_balance,
        unrealized=sum((unrealized_profit(ledger, account, symbol) for symbol in symbols), ZERO),
        of_positions=of_positions,
        of_orders=sum((part.total for part in parts), ZERO) - of_positions,
    )


def affords_order(ledger: Ledger, account: Account, symbol: str, side: str, notional: Decimal) -> bool:
    """Whether the account can pay the margin of one more order. An order that adds no margin, a close, always fits."""
    extra = (notional, ZERO) if side == "BUY" else (ZERO, notional)
    before = symbol_margin(ledger, account, symbol).total
    after = symbol_margin(ledger, account, symbol, *extra).total
    now = account_margin(ledger, account)
    return after <= before or now.balance >= now.initial + after - before
