from exchanges.models.account import Account
from exchanges.models.market import Market, MarketList
from exchanges.models.pause import ExchangePause

__all__ = ["Account", "ExchangePause", "Market", "MarketList"]
