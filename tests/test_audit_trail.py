"""Every act at the desk leaves its entry: generated from what the backoffice and the API offer."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import OperationalError
from django.test import RequestFactory
from django.urls import get_resolver, reverse
from django.utils import timezone

from audit import trail
from audit.actions import Action
from audit.actor import Actor
from audit.models import AuditEntry
from audit.trail import verify_trail
from exchanges.enums import OutsideKind
from exchanges.models import Account, ExchangePause
from exchanges.paper.testing import PaperControl
from orders.models import ExitGoal, OpenOrder, OutsideEvent, Position, PositionDifference
from staff.recorded_rows import HIDDEN, is_secret, stored_state
from staff.sign_in.second_factor import enroll
from strategies.models import ApiToken, Strategy, StrategyAccount, Subscription, SystemRisk, WebhookToken
from tests.desk import BTC, BTC_CLOSE, BTC_LIMIT, BTC_MARKET, PERSON
from tests.factories import AccountFactory, StrategyFactory, SubscriptionFactory, UserFactory
from tests.forms import submitted

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = admin.site._registry
ACTIONS = sorted(
    ((model, name) for model, page in PAGES.items() for name in page.actions or []),
    key=lambda pair: (pair[0]._meta.label, pair[1]),
)
LOST = timedelta(hours=1)


class Scene:
    """What a row needs around it. `deliver` and `desk` are there where something was traded."""

    def __init__(self, request):
        self.get = request.getfixturevalue

    @property
    def desk(self):
        return self.get("test1")

    def trade(self, *parts):
        self.get("deliver")(self.desk.alert(*parts))
        return self.desk

    def stuck_goal(self):
        """A goal whose attempt the exchange refused: no attempt is under way."""
        self.trade(BTC_MARKET)
        paper: PaperControl = self.get("paper")
        paper.fault(path="/fapi/v1/order", method="POST", action="code", value=-2015)
        self.trade(BTC_CLOSE)
        return ExitGoal.objects.pursued().first()

    def lost_order(self):
        key = self.desk.key("A1")
        self.get("paper").fault(
            action="drop", when="before", method="POST", path="/fapi/v1/order", api_key=key
        )
        self.trade(BTC_LIMIT)
        OpenOrder.objects.filter(account__name="A1").update(unknown_since=timezone.now() - LOST)
        return OpenOrder.objects.get(account__name="A1")

    def holding(self):
        now = timezone.now()
        account = self.desk.accounts["A1"]
        return {"account": account, "market_type": "FUTURES", "symbol": BTC}, now

    def difference(self):
        holding, now = self.holding()
        times = {"first_seen_at": now, "last_seen_at": now}
        return PositionDifference.objects.create(**holding, ours=0, theirs=1, **times)

    def event(self):
        holding, now = self.holding()
        fill = {"quantity": -1, "price": 100, "executed_at": now, "recorded_at": now}
        return OutsideEvent.objects.create(**holding, kind=OutsideKind.HAND, evidence_id="t1", **fill)

    def signed_token(self):
        row, _clear = WebhookToken.objects.issue(user=UserFactory())
        row.renew_signing_secret(actor=PERSON, now=timezone.now())
        return row


ROWS = {
    SystemRisk: lambda scene: SystemRisk.objects.get_or_create(pk=1)[0],
    Strategy: lambda scene: scene.desk.strategy,
    StrategyAccount: lambda scene: scene.desk.strategy_account("A1"),
    Account: lambda scene: scene.desk.accounts["A1"],
    Subscription: lambda scene: SubscriptionFactory(),
    User: lambda scene: UserFactory(),
    (User, "remove_second_factors"): lambda scene: with_second_factor(UserFactory()),
    WebhookToken: lambda scene: scene.signed_token(),
    ApiToken: lambda scene: ApiToken.objects.issue(user=UserFactory())[0],
    ExchangePause: lambda scene: ExchangePause.objects.create(exchange="paper", until=timezone.now() + LOST),
    Position: lambda scene: scene.trade(BTC_MARKET) and Position.objects.first(),
    ExitGoal: lambda scene: scene.stuck_goal(),
    OpenOrder: lambda scene: scene.trade(BTC_LIMIT) and OpenOrder.objects.first(),
    (OpenOrder, "declare_absent"): lambda scene: scene.lost_order(),
    PositionDifference: lambda scene: scene.difference(),
    OutsideEvent: lambda scene: scene.event(),
}
# As which acts the actions stand in the trail, by name.
ACTED = {
    **dict.fromkeys(["activate", "exits_only", "halt", "halt_and_cancel"], Action.STATE_CHANGED),
    "halt_cancel_and_close": Action.STATE_CHANGED,
    "switch_off": Action.ROW_CHANGED,
    (User, "switch_off"): Action.ROLES_CHANGED,
    "remove_second_factors": Action.SECOND_FACTOR_REMOVED,
    "revoke": Action.TOKEN_REVOKED,
    "renew_signing_secret": Action.SIGNATURE_REQUIRED,
    "drop_signing_secret": Action.SIGNATURE_DROPPED,
    "lift": Action.PAUSE_LIFTED,
    "close": Action.POSITIONS_CLOSED,
    "try_again": Action.GOALS_RETRIED,
    "close_at_market": Action.GOALS_RETRIED,
    "end": Action.GOALS_ENDED,
    "cancel": Action.ORDERS_CANCELED,
    "declare_absent": Action.ORDER_DECLARED_ABSENT,
    "declare_external": Action.DECLARED_EXTERNAL,
    "declare_events_external": Action.DECLARED_EXTERNAL,
}


@pytest.fixture
def scene(request, paper):
    return Scene(request)


def with_second_factor(user):
    enroll(user, b"k" * 20, -1, actor=Actor.of_service("test"), now=timezone.now())
    return user


def row_for(scene, model, name=""):
    return ROWS.get((model, name), ROWS.get(model))(scene)


def page_name(model, page):
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"


def entries_of(client, since):
    """The entries that the person at the desk has left since then; the chain is whole."""
    assert verify_trail().problems == []
    entries = list(AuditEntry.objects.filter(number__gt=since, label="admin").order_by("number"))
    assert {(entry.actor, entry.address) for entry in entries} <= {(actor_name(client), "127.0.0.1")}
    assert all("." in entry.right for entry in entries)
    return entries


def actor_name(client):
    return f"user:{client.session['_auth_user_id']}"


def newest():
    return AuditEntry.objects.values_list("number", flat=True).first() or 0


@pytest.mark.parametrize(
    ("model", "name"), ACTIONS, ids=[f"{model._meta.label_lower} {name}" for model, name in ACTIONS]
)
def test_every_action_leaves_its_entry(admin_client, scene, model, name):
    row = row_for(scene, model, name)
    sent = {"action": name, "_selected_action": [row.pk], "leave_choice": "close"}
    since = newest()

    response = admin_client.post(reverse(page_name(model, "changelist")), sent)

    assert response.status_code in (200, 302)
    acts = {entry.action for entry in entries_of(admin_client, since)}
    assert ACTED.get((model, name), ACTED.get(name)) in acts


UNDONE = ["halt", "switch_off", "revoke", "lift", "cancel", "end", "declare_external", "declare_absent"]


@pytest.mark.parametrize("name", UNDONE)
def test_an_act_whose_entry_cannot_be_written_does_not_happen(admin_client, scene, monkeypatch, name):
    model = next(model for model, offered in ACTIONS if offered == name)
    row = row_for(scene, model, name)
    before = stored_state(model, row.pk)
    admin_client.raise_request_exception = False
    monkeypatch.setattr(trail, "lock_chain", refuse)

    sent = {"action": name, "_selected_action": [row.pk], "leave_choice": "close"}
    response = admin_client.post(reverse(page_name(model, "changelist")), sent)

    assert (response.status_code, stored_state(model, row.pk)) == (500, before)


def refuse():
    raise OperationalError("the chain is locked")


def may(what, model):
    request = RequestFactory().get("/")
    request.user = User(is_active=True, is_staff=True, is_superuser=True)
    return getattr(PAGES[model], f"has_{what}_permission")(request)


def offering(what):
    """A page may ask for a row before it offers to delete."""
    return sorted((model for model in PAGES if may(what, model)), key=lambda model: model._meta.label)


PASSWORD = "long-enough-for-" + "anybody"
INLINE = {"strategy_accounts-TOTAL_FORMS": 0, "strategy_accounts-INITIAL_FORMS": 0}
ADDED = {
    Account: lambda: (
        {"owner": UserFactory().pk, "name": "new", "exchange": "paper", "is_active": "on"}
        | {"api_key": "a-new-key", "secret": "a-new-secret"}
    ),
    ApiToken: lambda: {"user": UserFactory().pk, "name": "new"},
    WebhookToken: lambda: {"user": UserFactory().pk, "name": "new"},
    User: lambda: {
        "username": "new",
        "usable_password": "true",
        "password1": PASSWORD,
        "password2": PASSWORD,
    },
    Strategy: lambda: (
        {"owner": UserFactory().pk, "market_type": "FUTURES", "name": "new", "group_name": "new"}
        | {
            "is_active": "on",
        }
        | INLINE
    ),
    StrategyAccount: lambda: (
        {"strategy": StrategyFactory().pk, "account": AccountFactory().pk, "capital": 1000}
        | {"capital_currency": "USDT", "leverage": 1, "weight": 1, "is_active": "on"}
    ),
    Subscription: lambda: (
        {"user": UserFactory(username="bob").pk, "is_active": "on"}
        | {"strategy": StrategyFactory(is_public=True).pk}
    ),
}


@pytest.mark.parametrize("model", offering("add"), ids=lambda model: model._meta.label_lower)
def test_every_added_row_leaves_its_entry(admin_client, paper, model):
    paper.open_account("a-new-key", "a-new-secret", can_withdraw=False)
    page, sent = reverse(page_name(model, "add")), ADDED[model]()
    blank = admin_client.get(page).context["adminform"].form
    filled = {name: field.initial for name, field in blank.fields.items() if field.initial not in (None, "")}
    since = newest()

    admin_client.post(page, {k: v for k, v in filled.items() if not callable(v)} | sent)

    (entry,) = entries_of(admin_client, since)
    assert entry.action == getattr(model, "added_as", Action.ROW_ADDED)
    assert (entry.target_type, entry.before) == (model._meta.label_lower, {})
    assert entry.target_id == str(model._default_manager.order_by("pk").last().pk)
    assert not any(secret in str(entry.after) for secret in (PASSWORD, "a-new-"))
    hidden = {name: value for name, value in entry.after.items() if is_secret(name)}
    assert set(hidden.values()) <= {"", HIDDEN}


CHANGES = {
    Account: ({"name": "other"}, Action.ROW_CHANGED),
    ApiToken: ({"name": "other"}, Action.ROW_CHANGED),
    WebhookToken: ({"name": "other"}, Action.ROW_CHANGED),
    User: ({"is_staff": "on"}, Action.ROLES_CHANGED),
    Strategy: ({"max_order_notional": "5000"}, Action.LIMITS_CHANGED),
    StrategyAccount: ({"leverage": "3"}, Action.ROW_CHANGED),
    Subscription: ({"is_active": False}, Action.ROW_CHANGED),
    SystemRisk: ({"token_orders_per_minute": "9"}, Action.LIMITS_CHANGED),
}


@pytest.mark.parametrize("model", offering("change"), ids=lambda model: model._meta.label_lower)
def test_every_changed_row_leaves_its_entry_with_the_values_before_and_after(admin_client, scene, model):
    row = row_for(scene, model)
    changed, action = CHANGES[model]
    (name,) = changed
    before = getattr(row, name)
    since = newest()

    admin_client.post(
        reverse(page_name(model, "change"), args=[row.pk]), submitted(admin_client, row, **changed)
    )

    (entry,) = [entry for entry in entries_of(admin_client, since) if name in entry.after]
    row.refresh_from_db()
    assert entry.action == action
    assert (entry.target_type, entry.target_id) == (row._meta.label_lower, str(row.pk))
    assert (entry.before[name], entry.after[name]) == tuple(
        value if isinstance(value, bool | int | None) else str(value)
        for value in (before, getattr(row, name))
    )


@pytest.mark.parametrize("model", offering("delete"), ids=lambda model: model._meta.label_lower)
@pytest.mark.parametrize("way", ["page", "list"])
def test_every_deleted_row_leaves_its_entry(admin_client, scene, model, way):
    row = ADDED_ALONE.get(model, ROWS.get(model))(scene)
    page, sent = reverse(page_name(model, "delete"), args=[row.pk]), {"post": "yes"}
    if way == "list":
        page = reverse(page_name(model, "changelist"))
        sent |= {"action": "delete_selected", "_selected_action": [row.pk]}
    since = newest()

    admin_client.post(page, sent)

    assert not model._default_manager.filter(pk=row.pk).exists()
    (entry,) = entries_of(admin_client, since)
    assert (entry.action, entry.target_type) == (Action.ROW_DELETED, row._meta.label_lower)
    assert (entry.target_id, entry.after) == (str(row.pk), {})
    assert entry.before


# Rows that nothing else refers to.
ADDED_ALONE = {
    Strategy: lambda scene: StrategyFactory(),
    Account: lambda scene: AccountFactory(),
    StrategyAccount: lambda scene: scene.desk.strategy_account("A1"),
    User: lambda scene: UserFactory(username="nobody"),
}


def test_inline_rows_leave_their_entries_too(admin_client, test1):
    row = test1.strategy
    sent = submitted(admin_client, row, name="other")
    (capital,) = [name for name in sent if name.endswith("0-capital")]
    since = newest()

    admin_client.post(reverse(page_name(Strategy, "change"), args=[row.pk]), sent | {capital: "7"})

    entries = entries_of(admin_client, since)
    assert [(entry.target_type, list(entry.after)) for entry in entries] == [
        ("strategies.strategy", ["name"]),
        ("strategies.strategyaccount", ["capital"]),
    ]
    assert (entries[1].before, entries[1].after) == ({"capital": "20000000"}, {"capital": "7"})


def test_no_list_edits_rows_because_the_chain_would_be_locked_before_the_last_row():
    assert [model for model, page in PAGES.items() if page.list_editable] == []


def test_a_new_key_leaves_its_fingerprint_only(admin_client, paper, test1):
    account = test1.accounts["A1"]
    paper.open_account("other-key", "other-secret", can_withdraw=False)
    keys = {"api_key": "other-key", "secret": "other-secret"}
    since = newest()

    admin_client.post(
        reverse(page_name(Account, "change"), args=[account.pk]), submitted(admin_client, account, **keys)
    )

    (entry,) = [entry for entry in entries_of(admin_client, since) if entry.action == Action.KEY_CHANGED]
    assert len(entry.before["key"]) == len(entry.after["key"]) == 16
    assert entry.before["key"] != entry.after["key"]
    assert entry.after["sealed_credentials"] == HIDDEN


def test_changed_roles_are_told_by_name(admin_client, scene):
    user, group = UserFactory(), Group.objects.create(name="drivers")
    since = newest()

    admin_client.post(
        reverse(page_name(User, "change"), args=[user.pk]), submitted(admin_client, user, groups=[group.pk])
    )

    (entry,) = [entry for entry in entries_of(admin_client, since) if "groups" in entry.after]
    assert (entry.action, entry.before, entry.after) == (
        Action.ROLES_CHANGED,
        {"groups": []},
        {"groups": ["drivers"]},
    )


# The other pages


DJANGOS_OWN = {"changelist", "add", "history", "delete", "change", None}
COVERED = {
    "orders_outsideevent_distribute": "below",
    "orders_positiondifference_distribute": "below",
    "auth_user_password_change": "by the pages of people",
}


def test_no_page_of_the_backoffice_is_missing_here():
    names = set()
    for model, page in PAGES.items():
        prefix = f"{model._meta.app_label}_{model._meta.model_name}_"
        of_page = {pattern.name for pattern in page.get_urls()}
        names |= {name for name in of_page if name and name.removeprefix(prefix) not in DJANGOS_OWN}

    assert names == set(COVERED)


def confirmed(client, page, sent):
    """The person looks at the preview first."""
    preview = client.post(page, sent | {"reason": "by phone"})
    seen = {row["seen"]: row["before"] for row in preview.context["outcomes"]}
    return client.post(page, sent | seen | {"reason": "by phone", "confirm": "Book"})


@pytest.mark.parametrize("kind", ["event", "difference"])
def test_a_distribution_leaves_the_positions_before_and_the_shares(admin_client, scene, kind):
    desk = scene.trade(BTC_MARKET)
    row = getattr(scene, kind)()
    share = "-1" if kind == "event" else "1"
    pk = desk.strategy_account("A1").pk
    since = newest()

    confirmed(
        admin_client,
        reverse(f"admin:orders_{row._meta.model_name}_distribute", args=[row.pk]),
        {f"share_{pk}": share},
    )

    (entry,) = entries_of(admin_client, since)
    assert (entry.action, entry.reason) == (Action.ADJUSTED, "by phone")
    assert entry.before["positions"] == {str(pk): "10.526"}
    assert entry.after["booked"] == {str(pk): share}


def test_leaving_tells_the_choice_and_what_there_was(admin_client, scene):
    desk = scene.trade(BTC_MARKET)
    row = desk.strategy_account("A1")
    since = newest()

    admin_client.post(
        reverse(page_name(StrategyAccount, "changelist")),
        {"action": "switch_off", "_selected_action": [row.pk], "leave_choice": "close"},
    )

    off, left, closed = entries_of(admin_client, since)
    assert (off.before, off.after) == ({"is_active": True}, {"is_active": False})
    assert (left.action, left.after, left.before["positions"]) == (
        Action.PARTICIPATION_ENDED,
        {"choice": "close"},
        1,
    )
    assert closed.action == Action.POSITIONS_CLOSED


# The API


def routes(resolver, prefix=""):
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from routes(pattern, route)
        else:
            yield route, pattern.callback


UNSAFE = {"post", "put", "patch", "delete"}


def writes_of(callback):
    actions = getattr(callback, "actions", None)  # a view set's methods
    view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
    return UNSAFE & (set(actions) if actions else {name for name in UNSAFE if hasattr(view, name)})


def test_the_api_writes_alerts_only_and_alerts_have_a_table_of_their_own():
    """The table of deliveries is what the trail is for people: who sent, what, and what came of it."""
    api = [(route, callback) for route, callback in routes(get_resolver()) if "api/" in route]
    writing = {callback.cls.__name__: writes_of(callback) for _route, callback in api if writes_of(callback)}

    assert len(api) > 8
    assert writing == {"WebhookView": {"post"}}
