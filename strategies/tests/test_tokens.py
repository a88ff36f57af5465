import base64
import hashlib
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from strategies.tokens import (
    API_MARK,
    DUMMY_DIGEST,
    WEBHOOK_MARK,
    digest_of,
    digests_match,
    is_token,
    new_signing_secret,
    new_token,
    prefix_of,
)


@pytest.mark.parametrize(("mark", "shown"), [(WEBHOOK_MARK, "th_"), (API_MARK, "tr_")])
def test_a_new_token_carries_256_random_bits_behind_its_mark(mark, shown):
    token = new_token(mark)

    assert token.clear.startswith(shown)
    assert len(token.clear) == 3 + 43
    assert token.clear != new_token(mark).clear


def test_a_token_of_one_kind_has_not_the_shape_of_the_other():
    assert not is_token(new_token(API_MARK).clear, WEBHOOK_MARK)
    assert not is_token(new_token(WEBHOOK_MARK).clear, API_MARK)


def test_what_is_kept_is_a_prefix_and_a_digest():
    token = new_token(WEBHOOK_MARK)

    assert token.prefix == token.clear[:11] == prefix_of(token.clear)
    assert token.digest == hashlib.sha256(token.clear.encode()).hexdigest() == digest_of(token.clear)


def test_a_token_is_not_printed():
    token = new_token(WEBHOOK_MARK)

    assert token.clear not in repr(token)


def test_a_token_matches_its_own_digest_only():
    token = new_token(WEBHOOK_MARK)

    assert digests_match(digest_of(token.clear), token.digest)
    assert not digests_match(digest_of(new_token(WEBHOOK_MARK).clear), token.digest)
    assert not digests_match(digest_of(token.clear[:-1]), token.digest)


@pytest.mark.parametrize("clear", ["", "th_", "토큰", "\ud800", "x" * 70_000])
def test_any_text_can_be_compared(clear):
    assert not digests_match(digest_of(clear), DUMMY_DIGEST)
    assert not digests_match(digest_of(clear), "다이제스트")
    assert not is_token(clear, WEBHOOK_MARK)


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "x", lambda t: t[3:], lambda t: t + "\n"])
def test_only_what_was_issued_has_the_shape_of_a_token(change):
    clear = new_token(WEBHOOK_MARK).clear

    assert is_token(clear, WEBHOOK_MARK)
    assert not is_token(change(clear), WEBHOOK_MARK)


def test_a_signing_secret_is_one_that_standard_webhooks_takes():
    secret = new_signing_secret()

    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert Webhook(secret).sign("msg_1", datetime(2026, 1, 1, tzinfo=UTC), "{}").startswith("v1,")
