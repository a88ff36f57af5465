"""Finds the fields of a message that nobody reads, and refuses an entry whose unread fields would change the risk."""

from collections.abc import Iterable, Iterator, Mapping, Set

from django.utils.translation import gettext_lazy as _

from webhooks.message.fields import Fields
from webhooks.message.risk_fields import changes_risk

_MEANS_NOTHING = (None, "", "NaN", "false", "False", False)


def unknown_field_names(
    top: Mapping[str, object], views: Iterable[Fields], top_names: Set[str], leg_names: Set[str]
) -> Iterator[str]:
    """Yields the unknown fields of the top, then of each entry of `orders`."""
    yield from (name for name in top if name not in top_names)
    for view in views:
        if view.leg is not None:
            yield from (f"orders[{view.leg}].{name}" for name in view.layers[0] if name not in leg_names)


def check_known(view: Fields, *, top_names: Set[str], leg_names: Set[str], leaves: bool) -> None:
    """Raises `unsupported_field` for an entry with an unknown field that would change risk if it were understood.

    An exit or a cancel goes on.
    """
    if leaves:
        return
    for layer in view.layers:
        known = leg_names if layer is not view.layers[-1] else top_names
        for name, value in layer.items():
            if name not in known and changes_risk(name) and value not in _MEANS_NOTHING:
                reason = _("the order would carry another risk than the message asks for")
                raise view.error("unsupported_field", field=name, reason=reason)
