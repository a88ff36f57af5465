"""The daily check of the keys of all accounts: a permission that somebody granted later is noticed.

What the check finds stops no order. The danger is a thief who withdraws, and a halt would keep exits from working
without stopping the thief. A person has to act at the exchange; the log and the list of accounts say so.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db.models import F

from exchanges import vault
from exchanges.account_checks.entry_check import findings_in
from exchanges.enums import KeyFinding
from exchanges.errors import AuthenticationFailed
from exchanges.gateway import Call, Outcome, gateway
from exchanges.models import Account
from exchanges.registry import EXCHANGES

logger = logging.getLogger(__name__)

EVERY = timedelta(days=1)
_AGAIN_AFTER = timedelta(hours=1)  # without an answer
_TOLD_AFTER = timedelta(days=2)  # without a check
_AT_A_TIME, _RUNS_A_DAY = 20, 144


def check_keys(*, now: datetime) -> int:
    """Asks about a portion of the keys whose last check is a day old, and returns the number of checked keys.

    Waits for the network: never call inside a transaction. The questions leave the exchanges' request weight to orders.
    An account without an answer is asked again an hour later, after the other accounts.
    """
    accounts = [account for account in _due_accounts(now) if account.exchange in EXCHANGES]
    Account.objects.filter(pk__in=[account.pk for account in accounts]).update(key_asked_at=now)
    outcomes = gateway.call_all([call for account in accounts for call in _calls_about(account)])
    answers: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        answers.setdefault(outcome.call.tag, []).append(outcome)
    return sum(_note_answers(account, answers.get(account.pk, []), now) for account in accounts)


def _due_accounts(now: datetime) -> list[Account]:
    sealed = Account.objects.sealed()
    portion = max(_AT_A_TIME, -(-2 * sealed.count() // _RUNS_A_DAY))
    due = sealed.exclude(key_checked_at__gt=now - EVERY).exclude(key_asked_at__gt=now - _AGAIN_AFTER)
    return list(due.order_by(F("key_asked_at").asc(nulls_first=True), "pk")[:portion])


def _calls_about(account: Account) -> list[Call]:
    """The questions about one key; none where the key cannot be decrypted, which the tracker tells."""
    try:
        credentials = vault.credentials_of(account)
    except vault.CredentialsUnreadable:
        return []
    return [
        Call(
            account.exchange,
            market_type,
            "fetch_permissions",
            credentials=credentials,
            tag=account.pk,
            can_wait=True,
            owner=account.owner_id,
        )
        for market_type in EXCHANGES[account.exchange].clients
    ]


def _note_answers(account: Account, outcomes: Sequence[Outcome], now: datetime) -> bool:
    """Stores what was found, unless the key was replaced meanwhile. Returns whether there was an answer."""
    findings = _findings_of(outcomes)
    if not findings:
        known_at = account.key_checked_at or account.created_at
        if now - known_at > _TOLD_AFTER:
            codes = ",".join(sorted({outcome.error.code for outcome in outcomes if outcome.error}))
            logger.warning("key not checked account=%s since=%s code=%s", account.pk, known_at, codes)
        return False
    asked = Account.objects.filter(pk=account.pk, sealed_credentials=account.sealed_credentials)
    if asked.update(key_finding=findings[0], key_checked_at=now):
        _tell(account, findings)
    return True


def _findings_of(outcomes: Sequence[Outcome]) -> list[KeyFinding]:
    """The findings, the gravest first; none where a question has no answer and the other answers tell nothing grave."""
    if any(isinstance(outcome.error, AuthenticationFailed) for outcome in outcomes):
        return [KeyFinding.NOT_ACCEPTED]
    answers = [outcome.value for outcome in outcomes if outcome.error is None]
    if not answers:
        return []
    findings = findings_in(answers)
    is_whole = len(answers) == len(outcomes)
    return findings if is_whole or findings[0] is KeyFinding.MAY_WITHDRAW else []


def _tell(account: Account, findings: Iterable[KeyFinding]) -> None:
    for finding in findings:
        level = logging.ERROR if finding.needs_person else logging.WARNING
        if finding not in (KeyFinding.GOOD, KeyFinding.NOT_TOLD):
            logger.log(
                level,
                "key finding account=%s exchange=%s finding=%s",
                account.pk,
                account.exchange,
                finding.value,
            )
