"""The forms of the backoffice, filled in as a browser fills them in."""

from django.forms import MultiWidget
from django.urls import reverse


def change_page(row):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def submitted(client, row, **changes):
    """What a browser sends when a person opens the page and changes these boxes."""
    page = client.get(change_page(row)).context
    form = page["adminform"].form
    values = {}
    for name in form.fields:
        if not form.fields[name].disabled:
            values |= boxes_of(form[name])
    for inline in page["inline_admin_formsets"]:
        formset = inline.formset
        values |= {f"{formset.prefix}-TOTAL_FORMS": formset.initial_form_count()}
        values |= {f"{formset.prefix}-INITIAL_FORMS": formset.initial_form_count()}
        for entry in formset.initial_forms:
            values |= {entry.add_prefix(name): entry[name].value() for name in entry.fields}
    return {name: value for name, value in (values | changes).items() if value not in (None, False)}


def boxes_of(bound):
    """What a browser sends for a field: a date with a time are two boxes."""
    widget, value = bound.field.widget, bound.initial
    if isinstance(widget, MultiWidget):
        return {f"{bound.name}_{i}": part for i, part in enumerate(widget.decompress(value))}
    return {bound.name: value}
