"""The dialects that are recognized and refused by name."""

from django.utils.translation import gettext_lazy as _

from webhooks.errors import WebhookError

REASONS = {
    "3commas-dca": ("3Commas DCA bots", _("size and exits stand in the bot, not in the message")),
    "alertatron": ("Alertatron", _("a script of several commands cannot be followed as orders")),
    "binee108": ("binee108", _("this order type of Korean stock brokers has no counterpart")),
    "frostybot": ("Frostybot", _("its sizes are targets in US dollars, relative to what is held")),
    "pineconnector": (
        "PineConnector",
        _("lots, and the units of risk, sl and tp, are settings of the terminal"),
    ),
    "tv-hub": ("TV-Hub", _("send the order in the fields of this service")),
    "whook": ("whook", _("send the order in the fields of this service")),
    "wundertrading": ("WunderTrading", _("pair and size stand in the bot, not in the message")),
}


def unsupported_dialect(name: str, reason: object) -> WebhookError:
    return WebhookError("unsupported_dialect", dialect=name, reason=reason)


def refuse_by_name(dialect: str) -> WebhookError:
    """Returns the refusal of a dialect in REASONS, or of a name that nobody knows."""
    name, reason = REASONS.get(dialect, (dialect, _("the name of the dialect is unknown")))
    return unsupported_dialect(name, reason)
