"""Budgets of orders: how many entries a token, a user and everybody together may send in a minute.

One alert may become an order on hundreds of accounts, so a limit of deliveries alone bounds nothing. Budgets count
orders, legs times accounts. Whatever may close or cancel something always passes: an exit has to get out.
"""

from django.core.cache import cache
from django.utils.translation import gettext_lazy as _

from strategies.models import OrderBudgets, SystemRisk
from webhooks import throttle
from webhooks.errors import WebhookError, lazy_phrase

_KNOWN_FOR_S = 10
_KEY = "order-budgets"


def spend_orders(count: int, *, token: int, user: int) -> WebhookError | None:
    """Counts the entries of a delivery. Returns the refusal (throttled) above a budget, and else None.

    `token` and `user` are primary keys. What a narrower budget refuses takes nothing from the wider budgets.
    """
    budgets = _budgets()
    scopes = (
        ("orders-of-token", str(token), budgets.of_token, _("this token may send %(max)s orders a minute")),
        (
            "orders-of-user",
            str(user),
            budgets.of_user,
            _("this user's tokens may send %(max)s orders a minute"),
        ),
        ("orders", "all", budgets.of_all, _("all senders together may send %(max)s orders a minute")),
    )
    for scope, name, limit, text in scopes:
        if count and not throttle.is_within(scope, name, limit, amount=count):
            return throttle.throttled_error(lazy_phrase(text, {"max": limit}))
    return None


def _budgets() -> OrderBudgets:
    known: OrderBudgets | None = cache.get(_KEY)
    if known is None:
        known = SystemRisk.current().order_budgets()
        cache.set(_KEY, known, _KNOWN_FOR_S)
    return known
