"""What the admin pages of all apps are made of."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from staff.acting import actor_of
from staff.recorded_rows import (
    Entry,
    State,
    addition_of,
    changes_of,
    deletion_of,
    keep_others_changes,
    locked_row,
    note_loaded,
    state_of,
)

T = TypeVar("T", bound=Model)

# What Django's own filters ask: nothing here reads a column letter by letter, or runs an expression.
_OPERATORS = {"exact", "in", "isnull", "isempty", "range", "gte", "gt", "lte", "lt", "year", "month", "day"}
_KEYS = {"id", "pk"}


class ListedLookups:
    """Lets an address ask a list only for what the list offers: its filters, its date hierarchy, and `lookups`.

    Django lets an address ask for every column of the table by every operator, so a person finds out a hidden value
    by its first letters, and an expression for `regex` keeps the whole process busy.
    """

    lookups: Sequence[str] = ()
    show_facets = admin.ShowFacets.NEVER  # one count over the whole table for each choice

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        if lookup in self.lookups:
            return True
        path = lookup.split("__")
        if path[-1] in _OPERATORS:
            path.pop()
        offered = set(self._offered_paths(request))
        return tuple(path) in offered or (path[-1] in _KEYS and tuple(path[:-1]) in offered)

    def _offered_paths(self, request: HttpRequest) -> Iterator[tuple[str, ...]]:
        page: Any = self
        if page.date_hierarchy:
            yield tuple(page.date_hierarchy.split("__"))
        for entry in page.get_list_filter(request):
            name = entry[0] if isinstance(entry, tuple | list) else entry
            yield tuple(name.split("__")) if isinstance(name, str) else (name.parameter_name,)

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """A list tells rows apart by their keys only."""
        page: Any = self
        return to_field in {*_KEYS, page.opts.pk.name}


# The type checker's stubs name the model of an admin class or form, as in ModelAdmin[Account]. Django's own classes
# refuse the brackets at run time. The admin modules of all apps take these three classes from here.
if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as _ModelAdmin
    from django.contrib.admin import TabularInline as TabularInline
    from django.forms import ModelForm as ModelForm
else:

    class _IgnoresModel:
        def __class_getitem__(cls, model: Any) -> type:
            return cls

    class _ModelAdmin(_IgnoresModel, ListedLookups, admin.ModelAdmin):
        pass

    class TabularInline(_IgnoresModel, admin.TabularInline):
        pass

    class ModelForm(_IgnoresModel, forms.ModelForm):
        pass


class ModelAdmin(_ModelAdmin[T]):
    """A page of rows. What a person adds, changes or deletes on the page stands in the audit trail.

    Django saves a form, its inline rows and its own log in one transaction, and writes the log last. So the entries
    are written right after Django's log: no row is locked after the chain of the trail.
    """

    demanded_right = ""  # where the page demands a right of its own, in place of Django's for the model

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> T | None:
        row = super().get_object(request, *args, **kwargs)
        if row is not None:
            note_loaded(row)
        return row

    def save_model(self, request: HttpRequest, obj: T, form: Any, change: bool) -> None:
        stored = locked_row(obj) if change else None
        if stored is not None:
            _before(request)[obj] = state_of(stored)
            keep_others_changes(obj, stored)
        super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        before, gone = {}, {}
        for row_form in getattr(formset, "initial_forms", ()):
            stored = locked_row(row_form.instance) if row_form.has_changed() else None
            if stored is not None:
                before[stored.pk], gone[stored.pk] = state_of(stored), stored
                keep_others_changes(row_form.instance, stored, row_form.changed_data)
        super().save_formset(request, form, formset, change)
        entries = _entries(request)
        entries += [addition_of(row) for row in formset.new_objects]
        for row, _names in formset.changed_objects:
            entries += changes_of(row, before[row.pk])
        entries += [
            deletion_of(gone[pk], before[pk])
            for pk in before
            if not type(gone[pk])._default_manager.filter(pk=pk)
        ]

    def log_addition(self, request: HttpRequest, obj: T, message: Any) -> Any:
        logged = super().log_addition(request, obj, message)
        self._write(request, "add", [addition_of(obj), *_entries(request)])
        return logged

    def log_change(self, request: HttpRequest, obj: T, message: Any) -> Any:
        """Actions log changes, too. The service that an action calls has written the entry."""
        logged = super().log_change(request, obj, message)
        before = _before(request).pop(obj, None)
        if before is not None:
            self._write(request, "change", [*changes_of(obj, before), *_entries(request)])
        return logged

    def delete_model(self, request: HttpRequest, obj: T) -> None:
        gone = _deletions([obj])
        super().delete_model(request, obj)
        self._write(request, "delete", gone)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[T]) -> None:
        """Django's action runs outside of a transaction."""
        with transaction.atomic():
            gone = _deletions(queryset.order_by("pk"))
            super().delete_queryset(request, queryset)
            self._write(request, "delete", gone)

    def _write(self, request: HttpRequest, act: str, entries: Iterable[Entry]) -> None:
        right = self.demanded_right or f"{self.opts.app_label}.{get_permission_codename(act, self.opts)}"
        for entry in entries:
            entry.write(actor_of(request, right), timezone.now())
        _entries(request).clear()


def _deletions(rows: Iterable[Model]) -> list[Entry]:
    """The entries of rows that are about to be deleted. Deleted instances would have lost their keys."""
    stored = (locked_row(row) for row in rows)
    return [deletion_of(row, state_of(row)) for row in stored if row is not None]


def _before(request: HttpRequest) -> dict[Model, State]:
    """The rows' states before the change, by row."""
    if not hasattr(request, "states_before"):
        request.states_before = {}  # type: ignore[attr-defined]
    states: dict[Model, State] = request.states_before  # type: ignore[attr-defined]
    return states


def _entries(request: HttpRequest) -> list[Entry]:
    """The entries of inline rows that wait for the end of the transaction."""
    if not hasattr(request, "waiting_entries"):
        request.waiting_entries = []  # type: ignore[attr-defined]
    entries: list[Entry] = request.waiting_entries  # type: ignore[attr-defined]
    return entries


class ReadOnlyAdmin(ModelAdmin[Any]):
    """Shows rows to staff; only the program writes the rows."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class FixedOnceMadeForm(ModelForm[Any]):
    """Edits rows on which money depends.

    A person chooses the fields named in `fixed` when the row is made. Afterwards the form only shows these fields.
    """

    fixed: Sequence[str] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.fixed if self.is_fixed else ():
            if name in self.fields:  # a user with only the view permission gets a form without fields
                self.fields[name].disabled = True

    @property
    def is_fixed(self) -> bool:
        return self.instance.pk is not None
