"""Reads the aliases of our own fields, and refuses the fields of close relatives that mean another trade."""

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from webhooks.errors import WebhookError
from webhooks.message.dialects.unsupported import refuse_by_name

_ALIASES = {"user_token": "token", "stopprice": "stop_price", "symbols": "symbol"}
_STOCK_BROKER_TYPES = {
    "CONDITIONAL_LIMIT",
    "BEST_LIMIT",
    "PRE_MARKET",
    "AFTER_MARKET",
}


def read_own(message: Mapping[str, object]) -> dict[str, object]:
    """Returns the fields under their own names. Raises WebhookError for a field that is given under two names."""
    fields = _without_aliases(message)
    if str(fields.get("test_mode", False)).lower() not in ("false", "none", ""):
        raise WebhookError("unsupported_field", field="test_mode", reason=_("use dry_run to try a message"))
    entries = fields.get("orders")
    if isinstance(entries, list):
        fields["orders"] = [
            _without_aliases(entry, leg=index) if isinstance(entry, dict) else entry
            for index, entry in enumerate(entries)
        ]
    return fields


def _without_aliases(given: Mapping[str, object], *, leg: int | None = None) -> dict[str, object]:
    for alias, name in _ALIASES.items():
        if given.get(alias) is not None and given.get(name) is not None:
            raise WebhookError(
                "unsupported_field", leg=leg, field=alias, reason=_("the field is given under two names")
            )
    if str(given.get("order_type", "")).upper() in _STOCK_BROKER_TYPES:
        raise refuse_by_name("binee108")
    fields = {name: value for name, value in given.items() if name not in _ALIASES}
    return fields | {
        _ALIASES[name]: value for name, value in given.items() if name in _ALIASES and value is not None
    }
