"""Finding a token takes the same steps whether it is unknown, revoked or wrong."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from exchanges.vault import CredentialsUnreadable
from strategies import tokens
from strategies.models import WebhookToken
from tests.desk import PERSON
from tests.factories import StrategyFactory

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def issued(alice):
    row, clear = WebhookToken.objects.issue(user=alice)
    return row, clear


def find(clear):
    return WebhookToken.objects.find(clear, now=NOW)


def test_a_token_is_found_by_its_clear_text(issued):
    row, clear = issued

    assert find(clear) == row


def unknown(row, clear):
    return tokens.new_token(tokens.WEBHOOK_MARK).clear


def wrong_behind_a_known_prefix(row, clear):
    return row.prefix + "x" * 35


def one_character_off(row, clear):
    return clear[:-1] + ("A" if clear[-1] != "A" else "B")


def revoked(row, clear):
    WebhookToken.objects.update(revoked_at=NOW)
    return clear


def expired(row, clear):
    WebhookToken.objects.update(expires_at=NOW - timedelta(seconds=1))
    return clear


def of_someone_who_left(row, clear):
    row.user.is_active = False
    row.user.save()
    return clear


def bare_prefix(row, clear):
    return row.prefix


def mark_only(row, clear):
    return "th_"


def empty(row, clear):
    return ""


def endless(row, clear):
    return clear + "x" * 60_000


def unstorable(row, clear):
    return clear[:-1] + "\x00"


def half_a_character(row, clear):
    return clear[:-1] + "\ud800"


REFUSED = [
    unknown, wrong_behind_a_known_prefix, one_character_off, revoked, expired, of_someone_who_left, bare_prefix,
    mark_only, empty, endless, unstorable, half_a_character,
]  # fmt: skip


def steps_of(monkeypatch, clear):
    """The statement, the rows it found, and how often a digest was made and compared."""
    calls = []
    for name in ("digest_of", "digests_match"):
        real = getattr(tokens, name)
        monkeypatch.setattr(tokens, name, lambda *args, n=name, f=real: calls.append(n) or f(*args))
    made = []
    real_init = WebhookToken.__init__
    monkeypatch.setattr(WebhookToken, "__init__", lambda *a, **k: made.append(1) or real_init(*a, **k))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert find(clear) is None
    monkeypatch.undo()
    return len(queries), calls, len(made)


@pytest.mark.parametrize("case", REFUSED)
def test_every_token_that_opens_nothing_costs_the_same_steps(monkeypatch, issued, case):
    clear = case(*issued)

    assert steps_of(monkeypatch, clear) == (1, ["digest_of", "digests_match"], 0)


def test_a_token_that_is_found_costs_one_query_too(issued, django_assert_num_queries):
    with django_assert_num_queries(1):
        find(issued[1])


def test_two_tokens_may_share_a_prefix(alice, issued):
    row, clear = issued
    twin = row.prefix + "y" * 35
    other = WebhookToken.objects.create(user=alice, prefix=row.prefix, digest=tokens.digest_of(twin))

    assert find(clear) == row
    assert find(twin) == other


def test_a_signing_secret_is_sealed_to_its_row(alice, issued):
    row, _clear = issued
    secret = row.renew_signing_secret(actor=PERSON, now=timezone.now())
    other = WebhookToken.objects.issue(user=alice, strategy=StrategyFactory())[0]

    row.refresh_from_db()
    assert row.signing_secret == secret
    assert secret not in row.sealed_signing_secret
    other.sealed_signing_secret = row.sealed_signing_secret
    with pytest.raises(CredentialsUnreadable):
        _ = other.signing_secret
