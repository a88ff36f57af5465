"""Planted secrets, every flow, and the loudest log: they are found nowhere but sealed or hashed."""

import io
import json
import logging
import re
import traceback
from datetime import UTC, datetime

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from exchanges.adapters.protocol import Credentials
from exchanges.errors import ExchangeError
from exchanges.models import Account
from strategies.models import WebhookToken
from tests.crash import track
from tests.desk import BTC_LIMIT, BTC_MARKET, CANCEL_ALL, PERSON, open_at
from tests.factories import issue_api_token

pytestmark = pytest.mark.django_db(transaction=True)

KEY, SECRET, PASSWORD = "canaryKEY" * 7, "canarySECRET" * 5, "canaryPASSWORD" * 4
REFUSED_KEY, REFUSED_SECRET = "canaryREFUSEDkey" * 4, "canaryREFUSEDsecret" * 3
A_SIGNATURE = re.compile(r"signature=(?!\*\*\*)[0-9a-f]", re.IGNORECASE)
PERMISSIONS = "/sapi/v1/account/apiRestrictions"
FAULTS = [
    {"action": "drop"},
    {"action": "reset_mid_body"},
    {"action": "status", "value": 500},
    {"action": "redirect"},
    {"action": "garbage"},
    {"action": "garbage", "value": {}},
    {"action": "garbage", "value": {"code": -1, "msg": f"{KEY} {SECRET}"}},
    {"action": "code", "value": -2015},
    {"action": "code", "value": -1022},
    {"action": "code", "value": -2010, "msg": f"Refused: {KEY} {SECRET}"},
    {
        "action": "code",
        "value": -1102,
        "msg": f"https://x/order?signature=abc123&apiKey={KEY}&secret={SECRET}",
    },
]


class Ears:
    """Everything that could tell: log records, exceptions, answers."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.errors: list[ExchangeError] = []

    def hear(self, response):
        self.heard.append(str(response.headers) + response.content.decode() + response.cookies.output())
        return response

    def everything(self, log):
        yield from self.heard
        yield log
        yield from ("".join(traceback.format_exception(error)) + str(vars(error)) for error in self.errors)
        yield from stored()


def stored():
    """Every column of every table."""
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(model._meta.db_table)}")
            yield from (str(value) for row in cursor.fetchall() for value in row)


@pytest.fixture
def ears(monkeypatch):
    ears = Ears()
    made = ExchangeError.__init__

    def note(error, *args, **more):
        made(error, *args, **more)
        ears.errors.append(error)

    monkeypatch.setattr(ExchangeError, "__init__", note)
    return ears


@pytest.fixture
def log():
    """The root at DEBUG, each record with its arguments, its trace and whatever else hangs on it."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.format = lambda record: logging.Formatter().format(record) + repr(vars(record))
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.setLevel(before)
    root.removeHandler(handler)


@pytest.fixture
def planted(test1, paper, settings):
    """test1 with canaries for credentials, and a token that must be signed."""
    settings.WEBHOOK_ANSWER_BUDGET_MS = 300
    account = test1.accounts["A1"]
    account.set_credentials(Credentials(KEY, SECRET, PASSWORD))
    account.save()
    open_at(paper, account)
    return WebhookToken.objects.get().renew_signing_secret(actor=PERSON, now=timezone.now())


@pytest.fixture
def send(deliver, ears, test1, planted):
    """Signs, delivers, and listens."""
    numbers = iter(range(1000))

    def send(*parts, **fields):
        alert = json.dumps(test1.alert(*parts, **fields))
        name, now = f"msg_{next(numbers)}", datetime.now(UTC)
        signature = Webhook(planted).sign(name, now, alert)
        headers = {"HTTP_WEBHOOK_ID": name, "HTTP_WEBHOOK_TIMESTAMP": str(int(now.timestamp()))}
        return ears.hear(deliver(alert, HTTP_WEBHOOK_SIGNATURE=signature, **headers))

    return send


@pytest.fixture
def desk(client):
    client.force_login(User.objects.create_superuser("desk"))
    return client


def run_alerts(send, deliver, ears, test1):
    assert send(BTC_LIMIT).status_code == 200
    assert send(BTC_MARKET).status_code == 200
    assert send(CANCEL_ALL).status_code == 200
    assert send(BTC_LIMIT, dry_run=True).status_code == 200
    for change in (
        {"side": test1.token},
        {"symbol": test1.token},
        {"group_name": test1.token},
        {test1.token: 1},
    ):
        send(BTC_LIMIT, change)
    ears.hear(deliver(test1.alert(BTC_LIMIT)))  # unsigned
    ears.hear(deliver(test1.alert(BTC_LIMIT, token=test1.token[:-1] + "!")))
    ears.hear(deliver("{" + test1.token, HTTP_AUTHORIZATION=f"Bearer {test1.token}"))
    ears.hear(deliver(test1.alert(BTC_LIMIT), path=f"/api/webhook/{test1.token}"))


def run_faults(send, paper, test1):
    for fault in FAULTS:
        paper.clear_faults()
        paper.fault(path="/", api_key=test1.key("A1"), times=None, **fault)
        send(BTC_LIMIT)
        track()
    send(CANCEL_ALL)
    paper.clear_faults()
    track()


def run_reads(deliver, ears, test1, reading):
    for path in ("orders", "trades", "positions"):
        assert (
            ears.hear(Client().get(f"/api/{path}/", HTTP_AUTHORIZATION=f"Token {reading}")).status_code == 200
        )
    ears.hear(Client().get("/api/orders/", HTTP_AUTHORIZATION=f"Token {reading}x"))
    ears.hear(Client().get(f"/api/orders/{reading}/"))
    for change in ({"token": reading}, {"symbol": reading}, {"side": reading}, {"id": reading}):
        ears.hear(deliver(test1.alert(BTC_LIMIT, change)))


def run_desk(desk, paper, ears, alice):
    for model, model_admin in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        ears.hear(desk.get(reverse(f"{name}_changelist")))
        for row in model_admin.model._default_manager.all():
            ears.hear(desk.get(reverse(f"{name}_change", args=[row.pk])))
    refuse_keys(desk, paper, ears, alice)


def refuse_keys(desk, paper, ears, alice):
    form = {"owner": alice.pk, "name": "new", "exchange": "paper", "trading_state": "active"}
    form |= {"api_key": REFUSED_KEY, "secret": REFUSED_SECRET, "password": PASSWORD}
    paper.open_account(REFUSED_KEY, REFUSED_SECRET, can_withdraw=True)
    ears.hear(desk.post(reverse("admin:exchanges_account_add"), form))
    for fault in FAULTS:
        paper.clear_faults()
        paper.fault(path=PERMISSIONS, **fault)
        ears.hear(desk.post(reverse("admin:exchanges_account_add"), form))
    paper.clear_faults()
    assert not Account.objects.filter(name="new").exists()


def test_planted_secrets_are_found_nowhere(send, deliver, ears, log, paper, test1, planted, desk, alice):
    run_alerts(send, deliver, ears, test1)
    run_faults(send, paper, test1)
    reading = issue_api_token(alice)
    run_reads(deliver, ears, test1, reading)
    run_desk(desk, paper, ears, alice)

    canaries = [KEY, SECRET, PASSWORD, REFUSED_KEY, REFUSED_SECRET, planted, test1.token, reading]
    assert ears.errors
    assert len(ears.heard) > 60
    assert log.getvalue()
    for text in ears.everything(log.getvalue()):
        for canary in canaries:
            assert canary not in text, around(text, canary)
        assert not A_SIGNATURE.search(text), around(text, "signature=")


def around(text, word):
    place = text.find(word)
    return text[max(0, place - 300) : place + len(word) + 100]


def test_the_net_is_fine_enough_to_catch_something(ears, log):
    """What this file looks for, it would find."""
    logging.getLogger("some.library").debug("GET %s", "https://x/order?signature=abc")
    ears.errors.append(ExchangeError(KEY))

    texts = list(ears.everything(log.getvalue()))

    assert any(A_SIGNATURE.search(text) for text in texts)
    assert any(KEY in text for text in texts)
