"""Rights to edit rows let nobody trade, take over or lift a limit. Who only looks has no act at all."""

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from audit.actions import Action
from audit.actor import Actor
from audit.models import AuditEntry
from exchanges.account_checks import entry_check
from exchanges.enums import TradingState
from exchanges.vault import credentials_of
from staff.pages import ModelAdmin
from strategies.models import Strategy, SystemRisk, WebhookToken
from tests.factories import AccountFactory, StrategyFactory, UserFactory

pytestmark = pytest.mark.django_db
VIEW = ("strategies.view_strategy", "strategies.view_webhooktoken", "exchanges.view_account")


def test_a_token_for_somebody_else_takes_the_right_made_for_it(browser, alice, person):
    clerk = person("clerk", "strategies.add_webhooktoken", *VIEW)
    address = reverse("admin:strategies_webhooktoken_add")

    other = browser(clerk).post(address, {"user": alice.pk, "name": "mine now"})
    own = browser(clerk).post(address, {"user": clerk.pk, "name": "mine"})
    of_owner = browser("boss", role="owner").post(address, {"user": alice.pk, "name": "given"})

    assert [b"<code>th_" in response.content for response in (other, own, of_owner)] == [False, True, True]
    assert set(WebhookToken.objects.values_list("user__username", flat=True)) == {"clerk", "alice"}


@pytest.mark.parametrize("action", ["renew_signing_secret", "drop_signing_secret"])
def test_signatures_of_others_take_the_same_right(browser, alice, action):
    row, _clear = WebhookToken.objects.issue(user=alice)
    secret = row.renew_signing_secret(actor=Actor.of_service("test"), now=timezone.now())
    form = {"action": action, "_selected_action": [row.pk]}

    browser("clerk", "strategies.change_webhooktoken", *VIEW).post(
        reverse("admin:strategies_webhooktoken_changelist"), form
    )

    row.refresh_from_db()
    assert row.signing_secret == secret


def test_everybody_who_may_change_tokens_revokes(browser, alice):
    row, _clear = WebhookToken.objects.issue(user=alice)

    browser("clerk", "strategies.change_webhooktoken", *VIEW).post(
        reverse("admin:strategies_webhooktoken_changelist"),
        {"action": "revoke", "_selected_action": [row.pk]},
    )

    row.refresh_from_db()
    assert row.revoked_at is not None


def test_keys_of_others_take_the_right_made_for_them(browser, alice, monkeypatch):
    asked = []
    monkeypatch.setattr(
        entry_check, "examine_key", lambda *args: asked.append(args) or entry_check.Verdict(*args)
    )
    account = AccountFactory(owner=alice)
    before = credentials_of(account)
    form = {"name": account.name, "is_active": "on", "api_key": "stranger", "secret": "strangers-secret"}

    response = browser("clerk", "exchanges.change_account", *VIEW).post(
        reverse("admin:exchanges_account_change", args=[account.pk]), form
    )

    account.refresh_from_db()
    assert (response.status_code, asked) == (200, [])
    assert "your own accounts only" in response.content.decode()
    assert credentials_of(account) == before


def strategy_form(strategy, **changed):
    return {
        "name": strategy.name,
        "group_name": strategy.group_name,
        "owner": strategy.owner_id,
        "market_type": strategy.market_type,
        "is_active": "on",
        **changed,
        "strategyaccount_set-TOTAL_FORMS": 0,
        "strategyaccount_set-INITIAL_FORMS": 0,
        "accounts-TOTAL_FORMS": 0,
        "accounts-INITIAL_FORMS": 0,
    }


def test_limits_take_the_right_made_for_them(browser):
    SystemRisk.objects.update(max_open_orders=5)
    address = reverse("admin:strategies_systemrisk_change", args=[1])

    for who, rights in (
        ("clerk", ("strategies.change_systemrisk",)),
        ("limits", ("strategies.change_systemrisk", "staff.change_limits")),
    ):
        page = browser(who, *rights).get(address).content.decode()
        assert ('name="max_open_orders"' in page) == (who == "limits")


LEVELS = [Strategy, SystemRisk]


def level(model):
    return StrategyFactory() if model is Strategy else SystemRisk.objects.get()


@pytest.mark.parametrize("model", LEVELS)
@pytest.mark.parametrize(
    ("rights", "action", "state"),
    [
        (("change",), "halt", TradingState.ACTIVE),  # to edit the row is not to act on it
        (("change",), "activate", TradingState.HALTED),
        (("staff.halt",), "halt", TradingState.HALTED),
        (("staff.halt",), "exits_only", TradingState.REDUCE_ONLY),
        (("staff.halt",), "activate", TradingState.HALTED),
        (("staff.halt",), "halt_cancel_and_close", TradingState.ACTIVE),
        (("staff.resume",), "activate", TradingState.ACTIVE),
        (("staff.resume",), "halt", TradingState.ACTIVE),
    ],
)
def test_each_act_takes_its_own_right(browser, model, rights, action, state):
    row = level(model)
    name = model._meta.model_name
    model.objects.update(trading_state=TradingState.HALTED if action == "activate" else TradingState.ACTIVE)
    named = [f"strategies.change_{name}" if right == "change" else right for right in rights]
    desk = browser("desk", f"strategies.view_{name}", *named)

    desk.post(
        reverse(f"admin:strategies_{name}_changelist"), {"action": action, "_selected_action": [row.pk]}
    )

    row.refresh_from_db()
    assert row.trading_state == state


def test_an_operator_halts_and_cannot_lift_the_halt(browser):
    desk = browser("desk", role="operator")
    address = reverse("admin:strategies_systemrisk_changelist")

    for action in ("halt", "activate"):
        desk.post(address, {"action": action, "_selected_action": [1]})

    entries = AuditEntry.objects.filter(action=Action.STATE_CHANGED).values_list("label", "right")
    assert SystemRisk.objects.get().trading_state == TradingState.HALTED
    assert list(entries) == [("desk", "staff.halt")]


# --- what an address may ask

ATTACKS = {
    "exchanges_account": [
        "sealed_credentials__startswith=g",
        "sealed_credentials__gt=g",
        "owner__password__startswith=p",
        "owner__email__contains=a",
        "owner__is_superuser__exact=1",
        "name__regex=(a%2B)%2B%24",
        "owner__username__iregex=a",
        "exchange__contains=p",
    ],
    "strategies_webhooktoken": [
        "digest__startswith=a",
        "sealed_signing_secret__gt=a",
        "user__password__gt=a",
    ],
    "orders_order": [
        "client_order_id__regex=(a%2B)%2B%24",
        "account__sealed_credentials__lt=z",
        "status__regex=.",
    ],
    "auth_user": [
        "password__startswith=p",
        "totpdevice__sealed_key__gt=g",
        "sign_ins__address__startswith=1",
    ],
}


@pytest.mark.parametrize(
    ("page", "attack"), [(page, attack) for page, attacks in ATTACKS.items() for attack in attacks]
)
def test_an_address_asks_for_no_hidden_column_and_by_no_expression(admin_client, page, attack):
    response = admin_client.get(f"{reverse(f'admin:{page}_changelist')}?{attack}")

    assert response.status_code == 400


@pytest.mark.parametrize("field", ["sealed_credentials", "owner", "name"])
def test_a_list_hands_out_no_column_as_a_key(admin_client, field):
    address = reverse("admin:exchanges_account_changelist")

    assert admin_client.get(f"{address}?_popup=1&_to_field={field}").status_code == 400
    assert admin_client.get(f"{address}?_popup=1&_to_field=id").status_code == 200


def test_a_list_is_not_ordered_by_a_hidden_column(admin_client, alice):
    AccountFactory(owner=alice, name="b"), AccountFactory(owner=alice, name="a")
    address = reverse("admin:exchanges_account_changelist")

    orders = {
        str(admin_client.get(f"{address}?o={o}").context["cl"].queryset.query).rpartition("ORDER BY")[2]
        for o in ("99", "sealed_credentials", "-sealed_credentials")
    }

    assert orders == {' "exchanges_account"."id" DESC'}


def test_a_list_offers_no_counts_over_the_whole_table(admin_client):
    page = admin_client.get(f"{reverse('admin:exchanges_account_changelist')}?_facets").context["cl"]

    assert not page.add_facets


def test_a_choice_of_rows_shows_only_what_the_person_may_see(browser, alice):
    address = reverse("admin:autocomplete")
    asked = {"term": "a", "app_label": "exchanges", "model_name": "account", "field_name": "owner"}

    assert browser("clerk", "exchanges.change_account").get(address, asked).status_code == 403
    assert browser("boss", role="owner").get(address, asked).json()["results"][0]["text"] == "alice"


PAGES = sorted(admin.site._registry.values(), key=lambda page: page.model._meta.label)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.model._meta.label_lower)
def test_every_list_keeps_its_own_filters_and_the_base_class(rf, page):
    request = rf.get("/")
    request.user = UserFactory(username="root", is_superuser=True, is_staff=True)
    filters = page.get_changelist_instance(request).filter_specs
    offered = [name for spec in filters for name in spec.expected_parameters()]

    refused = [name for name in offered if not page.lookup_allowed(name, "1", request)]

    assert isinstance(page, ModelAdmin)
    assert refused == []
