"""Names of a holding, each a NamedTuple, so that no caller has to guess the meaning of a bare pair."""

from typing import NamedTuple


class PositionKey(NamedTuple):
    """The position of one strategy account in one symbol."""

    strategy_account_id: int
    symbol: str


class AccountSymbol(NamedTuple):
    """The holding of one account in one symbol, over all strategies of one market type."""

    account_id: int
    symbol: str


class HoldingKey(NamedTuple):
    """The holding of one account in one symbol of one market type."""

    account_id: int
    market_type: str
    symbol: str
