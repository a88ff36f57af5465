"""Who gets in: addresses, signatures, and how often one may knock."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from orders.models import Order
from strategies.models import WebhookToken
from tests.desk import BTC_LIMIT, PERSON
from webhooks import throttle
from webhooks.errors import WebhookError
from webhooks.models import WebhookLog
from webhooks.senders import parse_networks

pytestmark = pytest.mark.django_db(transaction=True)

TRADINGVIEW, STRANGER, PROXY = "52.89.214.238", "203.0.113.9", "10.0.0.1"


def code(response):
    return response.status_code, response.json().get("code")


# Addresses


@pytest.fixture
def only_tradingview(settings):
    settings.WEBHOOK_ALLOWED_SENDERS = parse_networks(["tradingview"])
    settings.TRUSTED_PROXIES = parse_networks(["10.0.0.0/8"])


@pytest.mark.parametrize(
    "request_from",
    [
        {"REMOTE_ADDR": TRADINGVIEW},
        {"REMOTE_ADDR": f"::ffff:{TRADINGVIEW}"},
        {"REMOTE_ADDR": TRADINGVIEW, "HTTP_X_FORWARDED_FOR": STRANGER},
        {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": TRADINGVIEW},
        {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": f"{STRANGER}, {TRADINGVIEW}, 10.0.0.2"},
    ],
)
def test_a_listed_sender_gets_in(deliver, test1, only_tradingview, request_from):
    response = deliver(test1.alert(BTC_LIMIT), **request_from)

    assert response.status_code == 200
    assert WebhookLog.objects.get().sender == TRADINGVIEW


@pytest.mark.parametrize(
    "request_from",
    [
        {"REMOTE_ADDR": STRANGER},
        {"REMOTE_ADDR": ""},
        {"REMOTE_ADDR": STRANGER, "HTTP_X_FORWARDED_FOR": TRADINGVIEW},
        {"REMOTE_ADDR": STRANGER, "HTTP_X_FORWARDED_FOR": f"{TRADINGVIEW}, {PROXY}"},
        {"REMOTE_ADDR": STRANGER, "HTTP_X_REAL_IP": TRADINGVIEW, "HTTP_FORWARDED": f"for={TRADINGVIEW}"},
        {"REMOTE_ADDR": PROXY},
        {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": f"{TRADINGVIEW}, {STRANGER}"},
        {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": f"{TRADINGVIEW}, unknown"},
        {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": "\x00" * 50},
    ],
)
def test_everyone_else_is_refused_before_anything_is_read_or_stored(
    deliver, test1, only_tradingview, django_assert_num_queries, request_from
):
    with django_assert_num_queries(0):
        response = deliver(test1.alert(BTC_LIMIT), **request_from)

    assert code(response) == (403, "sender_not_allowed")
    assert response.json()["webhook_id"] is None
    assert not WebhookLog.objects.exists()


def test_the_log_names_some_of_those_who_are_not_on_the_list(deliver, test1, only_tradingview, caplog):
    caplog.set_level("INFO", "webhooks")
    for _ in range(65):
        deliver("{", REMOTE_ADDR=STRANGER)

    told = [record for record in caplog.records if STRANGER in record.getMessage()]
    assert len(told) == 60


def test_without_a_list_everyone_may_knock(deliver, test1):
    assert deliver(test1.alert(BTC_LIMIT), REMOTE_ADDR=STRANGER).status_code == 200
    assert WebhookLog.objects.get().sender == STRANGER


def test_a_request_without_an_address_is_stored_without_one(deliver, test1):
    assert deliver(test1.alert(BTC_LIMIT), REMOTE_ADDR="").status_code == 200
    assert WebhookLog.objects.get().sender is None


@pytest.mark.parametrize("length", ["garbage", "-1", "9" * 5000])
def test_a_content_length_that_is_none_does_not_break_the_answer(deliver, test1, length):
    response = deliver(test1.alert(BTC_LIMIT), CONTENT_LENGTH=length)

    assert response.status_code in (400, 413)


def test_wrong_tokens_are_counted_for_their_sender_and_not_for_the_proxy(deliver, test1, settings):
    settings.TRUSTED_PROXIES = parse_networks(["10.0.0.0/8"])
    settings.WEBHOOK_FAILED_AUTH_PER_MINUTE = 1
    wrong = test1.alert(BTC_LIMIT, token="th_" + "x" * 43)

    first = deliver(wrong, REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR=STRANGER)
    again = deliver(wrong, REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR=f"1.2.3.4, {STRANGER}")
    other = deliver(test1.alert(BTC_LIMIT), REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR=TRADINGVIEW)

    assert [first.status_code, again.status_code, other.status_code] == [401, 429, 200]


def test_the_addresses_of_one_ipv6_network_are_one_sender(deliver, test1, settings):
    settings.WEBHOOK_FAILED_AUTH_PER_MINUTE = 1
    wrong = test1.alert(BTC_LIMIT, token="th_" + "x" * 43)

    answers = [deliver(wrong, REMOTE_ADDR=f"2001:db8:0:7::{n}") for n in range(1, 4)]

    assert [answer.status_code for answer in answers] == [401, 429, 429]


# TLS


@pytest.mark.parametrize("path", ["/api/webhook", "/api/webhook/"])
@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "Messages are only accepted over HTTPS"), ("ko", "HTTPS로 보낸 메시지만 받습니다")],
)
def test_without_tls_an_alert_is_refused_unread_and_never_redirected(
    deliver, test1, settings, django_assert_num_queries, path, language, text
):
    settings.SECURE_SSL_REDIRECT = True
    with django_assert_num_queries(0):
        response = deliver(test1.alert(BTC_LIMIT), path=path, HTTP_ACCEPT_LANGUAGE=language)

    assert code(response) == (403, "https_required")
    assert response.json()["error"] == text


def test_over_tls_an_alert_is_taken(deliver, test1, settings):
    settings.SECURE_SSL_REDIRECT = True

    assert deliver(test1.alert(BTC_LIMIT), secure=True).status_code == 200


# Signatures


@pytest.fixture
def secret(test1):
    return WebhookToken.objects.get().renew_signing_secret(actor=PERSON, now=timezone.now())


def signed(alert, secret, *, name="msg_1", at=None, body=None, **changes):
    """A body and its headers; `body` is what is sent instead of what was signed."""
    content = json.dumps(alert)
    at = at or datetime.now(UTC)
    headers = {
        "HTTP_WEBHOOK_ID": name,
        "HTTP_WEBHOOK_TIMESTAMP": str(int(at.timestamp())),
        "HTTP_WEBHOOK_SIGNATURE": Webhook(secret).sign(name, at, content),
    }
    headers |= changes
    return body or content, {key: value for key, value in headers.items() if value is not None}


def test_a_signed_delivery_of_a_token_that_must_be_signed_gets_in(deliver, test1, secret):
    body, headers = signed(test1.alert(BTC_LIMIT), secret)

    response = deliver(body, **headers)

    assert response.status_code == 200
    assert response.json()["summary"]["successful_trades"] == 2


@pytest.mark.parametrize("seconds", [-270, 290])
def test_a_clock_may_be_off_by_five_minutes(deliver, test1, secret, seconds):
    body, headers = signed(test1.alert(BTC_LIMIT), secret, at=datetime.now(UTC) + timedelta(seconds=seconds))

    assert deliver(body, **headers).status_code == 200


WRONG = {
    "no headers": lambda alert, secret: (json.dumps(alert), {}),
    "no id": lambda alert, secret: signed(alert, secret, HTTP_WEBHOOK_ID=None),
    "no timestamp": lambda alert, secret: signed(alert, secret, HTTP_WEBHOOK_TIMESTAMP=None),
    "no signature": lambda alert, secret: signed(alert, secret, HTTP_WEBHOOK_SIGNATURE=None),
    "another id": lambda alert, secret: signed(alert, secret, HTTP_WEBHOOK_ID="msg_2"),
    "another body": lambda alert, secret: signed(alert, secret, body=json.dumps(alert | {"qty_per": 6})),
    "the same body, spaced": lambda alert, secret: signed(alert, secret, body=json.dumps(alert, indent=1)),
    "another secret": lambda alert, secret: signed(alert, "whsec_" + "A" * 44),
    "too old": lambda alert, secret: signed(alert, secret, at=datetime.now(UTC) - timedelta(seconds=302)),
    "from the future": lambda alert, secret: signed(
        alert, secret, at=datetime.now(UTC) + timedelta(seconds=330)
    ),
    "an old one with a new time": lambda alert, secret: signed(
        alert,
        secret,
        at=datetime.now(UTC) - timedelta(hours=1),
        HTTP_WEBHOOK_TIMESTAMP=str(int(time.time())),
    ),
    "not a time": lambda alert, secret: signed(alert, secret, HTTP_WEBHOOK_TIMESTAMP="nan"),
    "no version": lambda alert, secret: signed(alert, secret, HTTP_WEBHOOK_SIGNATURE="abc"),
    "two commas": lambda alert, secret: signed(alert, secret, HTTP_WEBHOOK_SIGNATURE="v1,abc,def"),
    "no base64": lambda alert, secret: signed(alert, secret, HTTP_WEBHOOK_SIGNATURE="v1,a"),
    "no ASCII": lambda alert, secret: signed(alert, secret, HTTP_WEBHOOK_SIGNATURE="v1,한글"),
    "asymmetric": lambda alert, secret: signed(alert, secret, HTTP_WEBHOOK_SIGNATURE="v1a,AAAA"),
    "a name that is none": lambda alert, secret: signed(alert, secret, name="x" * 201),
    "no UTF-8": lambda alert, secret: signed(alert, secret, body=b"\xff"),
}


@pytest.mark.parametrize("name", WRONG)
def test_without_a_valid_signature_a_token_that_must_be_signed_opens_nothing(deliver, test1, secret, name):
    body, headers = WRONG[name](test1.alert(BTC_LIMIT), secret)

    response = deliver(body, **headers)

    assert code(response) == ((400, "invalid_json") if name == "no UTF-8" else (401, "invalid_token"))
    assert not Order.objects.exists()
    was_counted = not throttle.is_within("failed-auth", "127.0.0.1", 1)
    assert was_counted is (name != "no UTF-8")


def test_a_second_signature_may_be_there_while_secrets_change(deliver, test1, secret):
    body, headers = signed(test1.alert(BTC_LIMIT), secret)
    headers["HTTP_WEBHOOK_SIGNATURE"] = f"v1,{'A' * 43}= {headers['HTTP_WEBHOOK_SIGNATURE']}"

    assert deliver(body, **headers).status_code == 200


def test_the_header_names_the_message_where_the_body_does_not(deliver, test1, secret):
    body, headers = signed(test1.alert(BTC_LIMIT), secret)
    other_body, same_name = signed(test1.alert(BTC_LIMIT, price="90001"), secret)

    first, again, conflict = (
        deliver(body, **headers),
        deliver(body, **headers),
        deliver(other_body, **same_name),
    )

    assert [first.json()["duplicate"], again.json()["duplicate"]] == [False, True]
    assert code(conflict) == (409, "id_conflict")
    assert Order.objects.count() == 2
    assert WebhookLog.objects.earliest("pk").content["id"] == "msg_1"


def test_a_name_in_the_body_counts_more(deliver, test1, secret):
    for name in ("msg_1", "msg_2"):
        body, headers = signed(test1.alert(BTC_LIMIT, id="mine"), secret, name=name)
        last = deliver(body, **headers)

    assert last.json()["duplicate"] is True


def test_a_token_without_a_signing_secret_does_not_look_at_the_headers(deliver, test1):
    body, headers = signed(test1.alert(BTC_LIMIT), "whsec_" + "A" * 44)

    for _ in range(2):
        answer = deliver(body, **headers).json()

    assert answer["duplicate"] is False  # an id that nothing vouches for is nobody's
    assert Order.objects.count() == 4


def test_a_renewed_secret_replaces_the_old_one_and_a_dropped_one_is_not_asked_for(deliver, test1, secret):
    token = WebhookToken.objects.get()
    new = token.renew_signing_secret(actor=PERSON, now=timezone.now())
    old_body, old_headers = signed(test1.alert(BTC_LIMIT), secret)
    new_body, new_headers = signed(test1.alert(BTC_LIMIT), new)

    answers = [deliver(old_body, **old_headers), deliver(new_body, **new_headers)]
    token.drop_signing_secret(actor=PERSON, now=timezone.now())
    answers.append(deliver(test1.alert(BTC_LIMIT)))

    assert [answer.status_code for answer in answers] == [401, 200, 200]


def test_a_signing_secret_that_cannot_be_read_lets_nobody_in(deliver, test1, secret):
    body, headers = signed(test1.alert(BTC_LIMIT), secret)
    other = WebhookToken.objects.create(user=test1.strategy.owner, prefix="th_other", digest="1" * 64)
    other.renew_signing_secret(actor=PERSON, now=timezone.now())
    WebhookToken.objects.exclude(pk=other.pk).update(sealed_signing_secret=other.sealed_signing_secret)

    assert code(deliver(body, **headers)) == (401, "invalid_token")


# How often


def test_of_many_wrong_tokens_at_once_no_more_than_the_limit_is_looked_at_twice(test1, settings):
    settings.WEBHOOK_FAILED_AUTH_PER_MINUTE = 5
    alert = json.dumps(test1.alert(BTC_LIMIT, token="th_" + "x" * 43))

    def knock(_):
        try:
            return Client().post("/api/webhook", alert, content_type="application/json").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(knock, range(50)))

    assert statuses.count(401) <= 5
    assert statuses.count(429) >= 45
    assert WebhookLog.objects.count() == statuses.count(401)


def test_fifty_at_once_spend_no_more_than_the_limit(db):
    def spend(_):
        try:
            throttle.spend_attempt("test", "one", 20)
        except WebhookError:
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(spend, range(50))) == 20


def test_each_minute_counts_anew(monkeypatch):
    now = throttle.time.time()
    in_this_minute = [throttle.is_within("test", "one", 1) for _ in range(2)]
    monkeypatch.setattr(throttle, "time", SimpleNamespace(time=lambda: now + 60))

    assert in_this_minute == [True, False]
    assert throttle.is_within("test", "one", 1)


def test_what_cannot_be_counted_is_not_allowed(monkeypatch):
    class Forgetful:
        def add(self, key, value, timeout):
            return True

        def incr(self, key, delta):
            raise ValueError(key)

    monkeypatch.setattr(throttle, "cache", Forgetful())
    with pytest.raises(WebhookError) as caught:
        throttle.spend_attempt("test", "one", 20)

    assert caught.value.code == "throttled"


def test_refusals_of_strangers_leave_no_more_rows_than_wrong_tokens_may(deliver, test1, settings):
    settings.WEBHOOK_FAILED_AUTH_PER_MINUTE = 3

    answers = [deliver("{") for _ in range(5)]

    assert [code(answer) for answer in answers] == [(400, "invalid_json")] * 5
    assert [answer.json()["webhook_id"] is None for answer in answers] == [False] * 3 + [True] * 2
    assert WebhookLog.objects.count() == 3
    assert deliver(test1.alert(BTC_LIMIT)).status_code == 200


def test_refusals_of_strangers_from_many_addresses_leave_a_bounded_number_of_rows(deliver, db):
    for _ in range(597):  # of 600 a minute
        throttle.is_within("rows", "all", 600)

    for number in range(5):
        deliver("{", REMOTE_ADDR=f"192.0.2.{number}")

    assert WebhookLog.objects.count() == 3


def test_what_a_stranger_said_is_not_kept(deliver, test1):
    deliver(test1.alert(BTC_LIMIT, token="th_" + "x" * 43))
    deliver(test1.alert(BTC_LIMIT, symbol="NO/SUCH"))

    strangers, owners = WebhookLog.objects.order_by("pk")
    assert (strangers.error_code, strangers.content) == ("invalid_token", {})
    assert (owners.error_code, owners.content["orders"][0]["symbol"]) == ("invalid_symbol", "NO/SUCH")


def test_the_memory_of_one_process_holds_more_counters_than_a_stranger_can_push_out():
    assert django_settings.CACHES["default"]["OPTIONS"]["MAX_ENTRIES"] >= 100_000
