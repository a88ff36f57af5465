from exchanges.models.account import Account
from exchanges.models.market import Market, MarketList

__all__ = ["Account", "Market", "MarketList"]
