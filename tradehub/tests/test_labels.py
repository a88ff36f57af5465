"""Whoever works in the admin reads Korean."""

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import label_for_field
from django.utils.functional import Promise
from django.utils.translation import override

OURS = ("audit", "exchanges", "strategies", "orders", "webhooks")
WORDS_OF_THE_PAYLOAD = {"qty_per", "qty"}
FIELDS = [
    pytest.param(field, id=str(field))
    for app in OURS
    for model in apps.get_app_config(app).get_models()
    if not model._meta.proxy
    for field in model._meta.concrete_fields
    if field.editable and not field.auto_created and field.name not in WORDS_OF_THE_PAYLOAD
]
COLUMNS = [
    pytest.param(page, name, id=f"{model._meta.label}.{name}")
    for model, page in admin.site._registry.items()
    if model._meta.app_label in OURS
    for name in (*page.list_display, *page.readonly_fields)
    if name not in {"id", *WORDS_OF_THE_PAYLOAD}
]


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_has_a_name_that_is_translated(field):
    assert isinstance(field.verbose_name, Promise)


@pytest.mark.parametrize(("page", "name"), COLUMNS)
def test_a_column_has_a_korean_heading(page, name):
    with override("ko"):
        assert re.search("[가-힣]", str(label_for_field(name, page.model, page)))
