"""What the admin pages of all apps are made of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

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

    class ModelAdmin(_IgnoresModel, admin.ModelAdmin):
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
