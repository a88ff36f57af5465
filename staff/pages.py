"""What the admin pages of all apps are made of."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

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
    from django.contrib.admin import ModelAdmin as ModelAdmin
    from django.contrib.admin import TabularInline as TabularInline
    from django.forms import ModelForm as ModelForm
else:

    class _IgnoresModel:
        def __class_getitem__(cls, model: Any) -> type:
            return cls

    class ModelAdmin(_IgnoresModel, ListedLookups, admin.ModelAdmin):
        pass

    class TabularInline(_IgnoresModel, admin.TabularInline):
        pass

    class ModelForm(_IgnoresModel, forms.ModelForm):
        pass


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
