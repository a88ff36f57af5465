"""The check of a new API key: the exchange tells the key's permissions before the key is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from exchanges.adapters.protocol import Credentials, KeyPermissions
from exchanges.enums import KeyFinding
from exchanges.errors import AuthenticationFailed, ExchangeError, Rejected, Throttled
from exchanges.gateway import Call, gateway
from exchanges.registry import EXCHANGES

_REFUSALS = {
    KeyFinding.MAY_WITHDRAW: _(
        "This key may withdraw. Take that permission away at the exchange, or make a key that may only trade."
    ),
    KeyFinding.MAY_NOT_TRADE: _("This key may not trade. Give it that permission at the exchange."),
    KeyFinding.HEDGE_MODE: _(
        "This account holds long and short positions apart (hedge mode). Switch it to one-way mode at the exchange."
    ),
}
_WARNINGS = {
    KeyFinding.NOT_TOLD: _(
        "This exchange does not tell whether the key may withdraw. Make sure that it may not."
    ),
    KeyFinding.ANY_ADDRESS: _(
        "This key works from every address. Restrict it to this server's at the exchange."
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one key at one exchange. A key with a `refusal` must not be stored; a person reads `warnings`."""

    exchange: str
    credentials: Credentials
    refusal: Any = None
    warnings: tuple[Any, ...] = ()
    finding: KeyFinding | None = None  # the gravest; None without an answer


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
    findings = findings_in(permissions)
    refusals, warnings = (
        [texts[each] for each in findings if each in texts] for texts in (_REFUSALS, _WARNINGS)
    )
    return Verdict(exchange, credentials, next(iter(refusals), None), tuple(warnings), findings[0])


def _refusal_without_answer(error: ExchangeError) -> Any:
    if isinstance(error, AuthenticationFailed):
        return _("The exchange does not accept this key: %(message)s") % {"message": error.message}
    if isinstance(error, Rejected) and not isinstance(error, Throttled):
        return _("The exchange does not tell what this key may do: %(message)s") % {"message": error.message}
    return _("The exchange could not be asked what this key may do. Nothing was saved; please try again.")


def findings_in(permissions: Sequence[KeyPermissions]) -> list[KeyFinding]:
    """The facts about a key from the answers for each market type, the gravest first; GOOD alone where nothing is to be
    said."""
    is_true = {
        KeyFinding.MAY_WITHDRAW: any(each.can_withdraw for each in permissions),
        KeyFinding.MAY_NOT_TRADE: all(each.can_trade is False for each in permissions),
        KeyFinding.HEDGE_MODE: any(each.is_hedge_mode for each in permissions),
        KeyFinding.ANY_ADDRESS: any(each.is_ip_restricted is False for each in permissions),
        KeyFinding.NOT_TOLD: any(each.can_withdraw is None for each in permissions),
    }
    return [finding for finding, is_found in is_true.items() if is_found] or [KeyFinding.GOOD]
