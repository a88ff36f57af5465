"""New keys for an account: whether the keys lead to the same account at the exchange, and whether that is allowed.

Orders and positions belong to the account at the exchange. With the keys of another account an exit would find nothing
there to close, and the old position would stay open without anybody.
"""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from exchanges import vault
from exchanges.adapters.protocol import Credentials
from exchanges.gateway import Call, gateway
from exchanges.models import Account
from exchanges.registry import EXCHANGES


@dataclass(frozen=True, slots=True)
class KeyChange:
    """The ids that the exchange gives to the old and the new key's account; "" for an id that is not known."""

    credentials: Credentials
    old_id: str = ""
    new_id: str = ""

    @property
    def is_certain(self) -> bool:
        return bool(self.old_id and self.new_id)

    @property
    def is_of_other_account(self) -> bool:
        return self.is_certain and self.old_id != self.new_id

    def account_id(self, *, is_confirmed: bool) -> str:
        """The id to store with the new key. A person who confirms the same account keeps the id that is known."""
        return self.new_id or (self.old_id if is_confirmed else "")


def read_key_change(account: Account | None, exchange: str, credentials: Credentials) -> KeyChange:
    """Asks the exchange for the account of each key. Waits for the network: never call inside a transaction.

    `account` is None for a new account.
    """
    new_id = read_account_id(exchange, credentials)
    if account is None or not account.sealed_credentials:
        return KeyChange(credentials, new_id=new_id)
    return KeyChange(credentials, account.exchange_account_id or _read_old_id(account), new_id)


def read_account_id(exchange: str, credentials: Credentials) -> str:
    """The exchange's id of the key's account; "" where the exchange has none, or tells none now."""
    outcomes = gateway.call_all(
        [
            Call(exchange, market_type, "fetch_account_id", credentials=credentials)
            for market_type in EXCHANGES[exchange].clients
        ]
    )
    return next((outcome.value for outcome in outcomes if outcome.error is None and outcome.value), "")


def _read_old_id(account: Account) -> str:
    """The old key may be gone by now, because a lost key is the usual reason of a change."""
    try:
        return read_account_id(account.exchange, vault.credentials_of(account))
    except vault.CredentialsUnreadable:
        return ""


def refusal_of_change(change: KeyChange, *, works_something: bool, is_confirmed: bool) -> Any:
    """The sentence that refuses the new key; None where the key may be stored.

    `works_something`: the account has open orders, orders in doubt or positions. `is_confirmed`: a person says that the
    new key is of the same account, which counts only where the exchange does not tell.
    """
    if not works_something:
        return None
    if change.is_of_other_account:
        return _(
            "This key belongs to another account at the exchange, and the present account still has open orders,"
            " orders of unknown outcome or positions. Close them first, or make a new account for the key."
        )
    if not change.is_certain and not is_confirmed:
        return _(
            "The exchange does not tell whether this key belongs to the same account, and the present account still has"
            " open orders, orders of unknown outcome or positions. Make sure, and tick the box."
        )
    return None


def warning_of_change(change: KeyChange) -> Any:
    """The sentence to show after the key of an account was changed; None where nothing is to be said."""
    if change.is_of_other_account:
        return _("The new key belongs to another account at the exchange than the key before.")
    if not change.is_certain:
        return _(
            "The exchange does not tell whether the new key belongs to the same account as the key before."
        )
    return None
