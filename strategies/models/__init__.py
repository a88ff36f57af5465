from strategies.limits import LIMIT_NAMES, Limits
from strategies.models.api_token import ApiToken
from strategies.models.risk import OrderBudgets, SystemRisk
from strategies.models.strategy import Strategy
from strategies.models.strategy_account import StrategyAccount
from strategies.models.subscription import Subscription
from strategies.models.token import Token
from strategies.models.webhook_token import WebhookToken

__all__ = [
    "LIMIT_NAMES",
    "ApiToken",
    "Limits",
    "OrderBudgets",
    "Strategy",
    "StrategyAccount",
    "Subscription",
    "SystemRisk",
    "Token",
    "WebhookToken",
]
