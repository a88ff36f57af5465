"""Every page of the backoffice opens, with rows in it."""

import pytest
from django.contrib import admin
from django.urls import reverse

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


def test_rows_that_record_money_offer_no_change(admin_client, traded):
    for name in ("order", "trade", "position", "orderevent"):
        response = admin_client.post(reverse(f"admin:orders_{name}_add"), {})

        assert response.status_code == 403


def test_staff_cannot_add_a_schedule(admin_client):
    response = admin_client.post(reverse("admin:django_q_schedule_add"), {"func": "os.system"})

    assert response.status_code == 403
