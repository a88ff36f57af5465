"""The room of reduce-only orders: the part of a position that no other order closes."""

from decimal import Decimal

from exchanges.paper.engine.catalog import FUTURES
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.engine.margin import account_margin
from exchanges.paper.engine.records import ZERO, Account, Order


def reducible_quantity(account: Account, symbol: str, side: str) -> Decimal:
    """The quantity of the position that an order of this side can close."""
    held = account.position(symbol).amount
    return max(ZERO, -held if side == "BUY" else held)


def require_room(ledger: Ledger, account: Account, order: Order) -> None:
    """Raises -4118 where the account could not pay for the other side, if all reduce-only orders filled.

    Reduce-only orders may exceed the position together, as long as free margin covers the excess. An untriggered
    conditional order takes no room.
    """
    excess = (
        order.qty + _resting_quantity(ledger, order) - reducible_quantity(account, order.symbol, order.side)
    )
    if excess > 0 and (account.poor or not _affords_excess(ledger, account, order.symbol, excess)):
        raise Refusal(-4118)


def _resting_quantity(ledger: Ledger, order: Order) -> Decimal:
    resting = ledger.blotters[order.api_key].open_orders(FUTURES, order.symbol)
    return sum((other.remaining for other in resting if other.reduce_only and other.side == order.side), ZERO)


def _affords_excess(ledger: Ledger, account: Account, symbol: str, excess: Decimal) -> bool:
    margin = excess * ledger.prices[symbol] / ledger.leverage(account, symbol)
    return margin <= account_margin(ledger, account).available
