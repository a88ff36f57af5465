"""Changes of an account without an order of the account: forced closes, delivery, funding, transfers.

https://www.binance.com/en/support/faq/liquidation-protocols-360033525271
https://developers.binance.com/docs/derivatives/usds-margined-futures/account/rest-api/Get-Income-History
"""

from decimal import ROUND_HALF_EVEN, Decimal

from exchanges.paper.engine.catalog import FUTURES
from exchanges.paper.engine.codec import EIGHT
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.engine.matching import end_order
from exchanges.paper.engine.records import ZERO, Account, Income, Order
from exchanges.paper.engine.settlement import fill_order

LIQUIDATION, ADL, SETTLEMENT = "autoclose-", "adl_autoclose", "settlement_autoclose-"
LIQUIDATION_FEE = Decimal("0.0125")


def liquidate(
    ledger: Ledger, account: Account, symbol: str, qty: Decimal | None, price: Decimal | None, now: int
) -> Order:
    """Liquidates a position, or a part of a position. The account's open orders of the symbol expire before."""
    _expire_orders(ledger, account, symbol, now)
    order = _force_close(ledger, account, symbol, LIQUIDATION, qty, price, now)
    fee = (order.quote * LIQUIDATION_FEE).quantize(EIGHT, ROUND_HALF_EVEN)
    _book_income(ledger, account, "INSURANCE_CLEAR", symbol, -fee, now)
    return order


def deleverage(
    ledger: Ledger, account: Account, symbol: str, qty: Decimal | None, price: Decimal | None, now: int
) -> Order:
    """Closes a position against a liquidated position of somebody else (ADL)."""
    return _force_close(ledger, account, symbol, ADL, qty, price, now)


def deliver_contract(ledger: Ledger, symbol: str, now: int) -> list[Order]:
    """Delists a contract: expires the open orders of every account, and settles every position at the last price."""
    rules = ledger.rules.get(FUTURES, {}).get(symbol, {})
    ledger.change_rules(FUTURES, symbol, rules | {"status": "SETTLING"})
    for account in ledger.accounts.values():
        _expire_orders(ledger, account, symbol, now)
    return [
        _force_close(ledger, account, symbol, SETTLEMENT, None, None, now)
        for account in ledger.accounts.values()
        if account.position(symbol).amount
    ]


def _expire_orders(ledger: Ledger, account: Account, symbol: str, now: int) -> None:
    blotter = ledger.blotters[account.api_key]
    for order in blotter.open_orders(FUTURES, symbol):
        end_order(ledger, order, "EXPIRED", now)
    for algo in blotter.open_algo_orders(symbol):
        ledger.close_algo(algo, "EXPIRED", now)


def _force_close(
    ledger: Ledger,
    account: Account,
    symbol: str,
    name: str,
    qty: Decimal | None,
    price: Decimal | None,
    now: int,
) -> Order:
    held = account.position(symbol).amount
    qty = min(abs(held), abs(held) if qty is None else qty)
    if not qty:
        raise Refusal(-1104, f"The account has no position to close in {symbol}.")
    price, order_id = price or ledger.prices[symbol], ledger.next_id()
    order = Order(
        order_id=order_id,
        client_order_id=name if name == ADL else f"{name}{now}{order_id}",
        api_key=account.api_key,
        market=FUTURES,
        symbol=symbol,
        side="SELL" if held > 0 else "BUY",
        type="LIMIT",
        time_in_force="IOC",
        qty=qty,
        price=price,
        time=now,
        reduce_only=True,
        orig_type="LIMIT",
        updated=now,
    )
    ledger.add_order(order)
    fill_order(ledger, account, order, qty, price, False, now)
    return order


def pay_funding(ledger: Ledger, symbol: str, rate: Decimal, now: int) -> list[Income]:
    """Lets every position pay funding at the mark price: with a positive rate, long positions pay short positions."""
    mark = ledger.reference_price(symbol)
    held = {account.api_key: account.position(symbol).amount for account in ledger.accounts.values()}
    return [
        _book_income(
            ledger,
            ledger.accounts[api_key],
            "FUNDING_FEE",
            symbol,
            (-amount * mark * rate).quantize(EIGHT, ROUND_HALF_EVEN),
            now,
        )
        for api_key, amount in held.items()
        if amount
    ]


def transfer_spot(ledger: Ledger, account: Account, asset: str, amount: Decimal, now: int) -> None:
    """Moves coins into the spot wallet, or out of the wallet where the amount is negative."""
    if account.wallet(asset).free + amount < ZERO:
        raise Refusal(-2010)
    account.wallet(asset).free += amount
    account.updated = now
    ledger.touch_account(account)


def transfer_margin(ledger: Ledger, account: Account, amount: Decimal, now: int) -> None:
    """Moves USDT into the futures wallet, or out of the wallet where the amount is negative."""
    if account.margin_balance + amount < ZERO:
        raise Refusal(-2019)
    _book_income(ledger, account, "TRANSFER", "", amount, now)


def _book_income(
    ledger: Ledger, account: Account, kind: str, symbol: str, amount: Decimal, now: int
) -> Income:
    income = Income(ledger.next_tran_id(), account.api_key, kind, symbol, amount, "USDT", now)
    account.margin_balance += amount
    account.updated = now
    ledger.add_income(income)
    ledger.touch_account(account)
    return income
