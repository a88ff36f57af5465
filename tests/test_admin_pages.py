"""Every page of the backoffice opens, with rows in it."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import RequestFactory
from django.urls import reverse

from orders.admin import lists
from orders.models import Order
from tests.desk import BTC_MARKET

pytestmark = pytest.mark.django_db(transaction=True)

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture
def traded(deliver, test1):
    deliver(test1.alert(BTC_MARKET))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label_lower)
def test_a_models_pages_open(admin_client, traded, model):
    base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    pages = [reverse(f"{base}_changelist")]
    row = model._default_manager.first()
    if row is not None:
        pages.append(reverse(f"{base}_change", args=[row.pk]))
    if admin_client.get(reverse(f"{base}_add")).status_code != 403:
        pages.append(reverse(f"{base}_add"))

    statuses = {page: admin_client.get(page).status_code for page in pages}

    assert set(statuses.values()) == {200}, statuses


def listed(client, address):
    page = client.get(address).context["cl"]
    return [row.pk for row in page.result_list], page


def test_a_list_counts_so_far_and_leads_to_the_older_rows(admin_client, deliver, test1, traded, monkeypatch):
    deliver(test1.alert(BTC_MARKET, qty_per=3))
    monkeypatch.setattr(lists, "COUNTED", 2)
    monkeypatch.setattr(admin.site._registry[Order], "list_per_page", 1)
    rows = list(Order.objects.order_by("-pk").values_list("pk", flat=True))
    address = reverse("admin:orders_order_changelist")
    newer, page = listed(admin_client, address)

    older, last = listed(admin_client, f"{address}{page.older_url}")

    assert (newer, older) == ([rows[0]], [rows[2]])
    assert (page.result_count, last.result_count, last.older_url) == (2, 2, "")
    assert "?id__lt=" in admin_client.get(address).content.decode()


SEARCHES = {
    "orders_order": ["client_order_id", "exchange_order_id", "account__name", "strategy__group_name"],
    "orders_trade": ["order__client_order_id", "account__name"],
    "orders_orderevent": ["order__client_order_id"],
    "webhooks_webhooklog": ["strategy__group_name", "token__prefix"],
}


@pytest.mark.parametrize(("page", "field"), [(page, field) for page in SEARCHES for field in SEARCHES[page]])
def test_a_search_finds_rows_by_their_names(admin_client, traded, page, field):
    model = apps.get_model(*page.split("_"))
    row = model.objects.order_by("pk").values_list("pk", field).first()
    address = reverse(f"admin:{page}_changelist")

    found, _ = listed(admin_client, f"{address}?q={row[1]}")
    nothing, _ = listed(admin_client, f"{address}?q=nobody")

    assert (row[0] in found, nothing) == (True, [])


@pytest.mark.parametrize(("filtered", "count"), [("symbol=BTC/USDT:USDT", 2), ("symbol=ETH/USDT:USDT", 0)])
def test_a_list_is_narrowed_by_symbol(admin_client, traded, filtered, count):
    found, _ = listed(admin_client, f"{reverse('admin:orders_trade_changelist')}?{filtered}")

    assert len(found) == count


@pytest.mark.parametrize(("code", "count"), [("", 2), ("below_lot", 0)])
def test_orders_are_narrowed_by_reason(admin_client, traded, code, count):
    found, _ = listed(admin_client, f"{reverse('admin:orders_order_changelist')}?reason={code}")

    assert len(found) == count


def test_rows_that_record_money_offer_no_change(admin_client, traded):
    for name in ("order", "trade", "position", "orderevent"):
        response = admin_client.post(reverse(f"admin:orders_{name}_add"), {})

        assert response.status_code == 403


def test_staff_cannot_add_a_schedule(admin_client):
    response = admin_client.post(reverse("admin:django_q_schedule_add"), {"func": "os.system"})

    assert response.status_code == 403


def actions_offered_to(user, model):
    request = RequestFactory().get("/")
    request.user = user
    return set(admin.site._registry[model].get_actions(request))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label_lower)
def test_actions_name_their_permission_and_are_not_offered_to_those_who_may_only_look(model):
    model_admin = admin.site._registry[model]
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))

    unguarded = [
        name
        for name in model_admin.actions or []
        if not getattr(model_admin.get_action(name)[0], "allowed_permissions", None)
    ]

    assert unguarded == []
    assert actions_offered_to(viewer, model) == set()


@pytest.mark.parametrize(
    ("right", "label", "action"),
    [
        ("operate_orders", "orders.OpenOrder", "cancel"),
        ("operate_orders", "orders.OpenOrder", "declare_absent"),
        ("operate_orders", "orders.PositionDifference", "declare_external"),
    ],
)
def test_whoever_may_operate_orders_may_act_on_them(right, label, action):
    operator = User.objects.create_user("operator", is_staff=True)
    operator.user_permissions.set(Permission.objects.filter(codename=right))

    assert action in actions_offered_to(operator, apps.get_model(label))


@pytest.mark.parametrize("path", ["/", "/admin"])
def test_short_addresses_lead_to_the_backoffice(client, path):
    response = client.get(path)

    assert (response.status_code, response.headers["Location"]) == (302, "/admin/")
