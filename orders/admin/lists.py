"""Lists in the admin of tables that grow: a page reads what it shows, however many rows there are."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from orders.models import Position
from staff.pages import ReadOnlyAdmin

COUNTED = 10_000
_NAMED = 500  # accounts or strategies that a search may name


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # no type arguments at run time
    """Counts at most COUNTED rows, in the order of the list."""

    @cached_property
    def count(self) -> int:
        return min(self._counted, COUNTED)

    @cached_property
    def has_more(self) -> bool:
        return self._counted > COUNTED

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        counted: int = rows.values("pk")[: COUNTED + 1].count()
        return counted


class GrowingChangeList(ChangeList):
    """Pages of the newest COUNTED rows. A link leads to the older rows, by primary key."""

    @cached_property
    def older_url(self) -> str:
        """The address of the same list without the rows counted here; empty where there are no more."""
        if not getattr(self.paginator, "has_more", False):
            return ""
        last = self.queryset.order_by("-pk").values_list("pk", flat=True)[COUNTED - 1]
        return self.get_query_string({"id__lt": last}, ["p"])


class GrowingAdmin(ReadOnlyAdmin):
    """Lists the newest rows first. `search_fields` name a lookup each, such as `client_order_id__exact`.

    A search looks for names in other tables first: one condition over several tables would read every row.
    """

    lookups = ("id__lt",)  # the link to older rows
    paginator = CappedPaginator
    show_full_result_count = False
    sortable_by = ()
    ordering = ["-pk"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return GrowingChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        found = Q(pk__in=[])
        for path in self.get_search_fields(request):
            found |= self._condition(str(path), term)
        return queryset.filter(found), False

    def _condition(self, path: str, term: str) -> Q:
        first, _separator, rest = path.partition("__")
        other: type[Model] | None = self.model._meta.get_field(first).related_model
        if other is None:
            return Q(**{path: term})
        named = other._default_manager.filter(**{rest: term}).order_by().values_list("pk", flat=True)
        return Q(**{f"{first}__in": list(named[:_NAMED])})


class KnownCodeFilter(admin.SimpleListFilter):
    """Filters by a code of a fixed list: the codes in use could only be found by reading every row."""

    codes: Iterable[str] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(code, code) for code in sorted(self.codes)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class TradedSymbolFilter(admin.SimpleListFilter):
    """Filters by a symbol that has a position."""

    title = _("symbol")
    parameter_name = "symbol"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        symbols = Position.objects.order_by("symbol").values_list("symbol", flat=True).distinct()
        return [(symbol, symbol) for symbol in symbols]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(symbol=self.value()) if self.value() else queryset
