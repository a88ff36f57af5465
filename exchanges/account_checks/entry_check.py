"""The check of a new API key: the exchange tells the key's permissions before the key is stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from exchanges.adapters.protocol import Credentials, KeyPermissions
from exchanges.errors import AuthenticationFailed, ExchangeError, Rejected, Throttled
from exchanges.gateway import Call, gateway
from exchanges.registry import EXCHANGES


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one key at one exchange. A key with a `refusal` must not be stored; a person reads `warnings`."""

    exchange: str
    credentials: Credentials
    refusal: Any = None
    warnings: tuple[Any, ...] = ()


def examine_key(exchange: str, credentials: Credentials) -> Verdict:
    """Asks the exchange for the permissions of the key. Waits for the network: never call inside a transaction.

    A question without an answer refuses the key. An exchange without such a question leads to a warning only.
    """
    outcomes = gateway.call_all(
        [
            Call(exchange, market_type, "fetch_permissions", credentials=credentials)
            for market_type in EXCHANGES[exchange].clients
        ]
    )
    try:
        permissions = [outcome.unwrap() for outcome in outcomes]
    except ExchangeError as error:
        return Verdict(exchange, credentials, _refusal_without_answer(error))
    return Verdict(exchange, credentials, _refusal_of_key(permissions), tuple(_warnings_of_key(permissions)))


def _refusal_without_answer(error: ExchangeError) -> Any:
    if isinstance(error, AuthenticationFailed):
        return _("The exchange does not accept this key: %(message)s") % {"message": error.message}
    if isinstance(error, Rejected) and not isinstance(error, Throttled):
        return _("The exchange does not tell what this key may do: %(message)s") % {"message": error.message}
    return _("The exchange could not be asked what this key may do. Nothing was saved; please try again.")


def _refusal_of_key(permissions: list[KeyPermissions]) -> Any:
    if any(each.can_withdraw for each in permissions):
        return _(
            "This key may withdraw. Take that permission away at the exchange, or make a key that may only trade."
        )
    if all(each.can_trade is False for each in permissions):
        return _("This key may not trade. Give it that permission at the exchange.")
    if any(each.is_hedge_mode for each in permissions):
        return _(
            "This account holds long and short positions apart (hedge mode). Switch it to one-way mode at the exchange."
        )
    return None


def _warnings_of_key(permissions: list[KeyPermissions]) -> Iterator[Any]:
    if any(each.can_withdraw is None for each in permissions):
        yield _("This exchange does not tell whether the key may withdraw. Make sure that it may not.")
    if any(each.is_ip_restricted is False for each in permissions):
        yield _("This key works from every address. Restrict it to this server's at the exchange.")
