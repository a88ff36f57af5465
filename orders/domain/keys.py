"""Keys of positions and holdings. Each key is a NamedTuple, because a bare pair does not name its parts."""

from typing import NamedTuple


class PositionKey(NamedTuple):
    """Names the position of a strategy account in a symbol."""

    strategy_account_id: int
    symbol: str


class AccountSymbol(NamedTuple):
    """Names the holding of an account in a symbol, over all strategies of the symbol's market type."""

    account_id: int
    symbol: str


class HoldingKey(NamedTuple):
    """Names the holding of an account in a symbol of a market type."""

    account_id: int
    market_type: str
    symbol: str
