"""An account and a market type as the subject of questions to the exchange."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q

from exchanges import vault
from exchanges.enums import MarketType
from exchanges.errors import ExchangeError
from exchanges.gateway import Call, Outcome, gateway
from exchanges.market_data import catalog
from exchanges.models import Account
from orders.domain.keys import HoldingKey
from orders.models import Order, Position
from strategies.models import StrategyAccount

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subject:
    """An account and a market type to compare. `symbols` are the symbols with our positions or open orders.

    An exact subject is compared in its `symbols` only. A swept subject is compared in everything that the exchange
    knows of the account. A question that can wait leaves the exchange's request weight to orders.
    """

    account: Account
    market_type: MarketType
    symbols: frozenset[str] = frozenset()
    is_swept: bool = False
    is_exact: bool = False
    can_wait: bool = True

    def call(self, verb: str, *args: object) -> Call:
        credentials = vault.credentials_of(self.account)
        return Call(
            self.account.exchange,
            self.market_type,
            verb,
            args,
            credentials,
            tag=self,
            can_wait=self.can_wait,
            owner=self.account.owner_id,
        )

    def key_of(self, symbol: str) -> HoldingKey:
        return HoldingKey(self.account.pk, str(self.market_type), symbol)


def symbols_in_use(accounts: Iterable[int]) -> dict[tuple[int, str], set[str]]:
    """Returns the symbols with a position or an open order, by account and market type."""
    held = Position.objects.held().filter(strategy_account__account__in=accounts)
    worked = Order.objects.open().filter(account__in=accounts).order_by().distinct()
    columns = ("strategy_account__account_id", "strategy_account__strategy__market_type", "symbol")
    symbols: dict[tuple[int, str], set[str]] = defaultdict(set)
    for account, kind, symbol in [
        *held.values_list(*columns),
        *worked.values_list("account_id", "market_type", "symbol"),
    ]:
        symbols[account, kind].add(symbol)
    return symbols


def market_types_in_use(accounts: Iterable[int]) -> set[tuple[int, str]]:
    """Returns accounts with their market types: those of active strategy accounts, and those with an order."""
    ordered = Exists(Order.objects.filter(strategy_account=OuterRef("pk")))
    rows = StrategyAccount.objects.filter(Q(is_active=True) | Q(ordered), account__in=accounts)
    return set(rows.values_list("account_id", "strategy__market_type"))


def only_ready(subjects: Iterable[Subject], *, now: datetime) -> list[Subject]:
    """Returns the subjects that can be asked about: the credentials are readable, and the markets are known."""
    return [subject for subject in subjects if _is_ready(subject, now)]


def _is_ready(subject: Subject, now: datetime) -> bool:
    try:
        vault.credentials_of(subject.account)
        catalog.open_catalog(subject.account.exchange, subject.market_type, now=now)
    except (vault.CredentialsUnreadable, ExchangeError) as error:
        logger.warning("cannot reconcile account=%s error=%s", subject.account.pk, type(error).__name__)
        return False
    return True


def answered_outcomes(calls: Sequence[Call]) -> Iterator[Outcome]:
    """Asks all questions and yields the answered outcomes. A failed question tells nothing about the account."""
    for outcome in gateway.call_all(calls):
        if outcome.error is None:
            yield outcome
        else:
            logger.info("no answer account=%s code=%s", outcome.call.tag.account.pk, outcome.error.code)
