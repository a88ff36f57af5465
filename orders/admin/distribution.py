"""The admin's page on which a person distributes an outside event, or corrects a difference without evidence."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from exchanges.amounts import plain
from exchanges.fields import DIGITS, PLACES
from orders.domain.outside import Shares
from orders.domain.position_math import PositionState
from orders.outside.distribution import (
    Distribution,
    NotDistributable,
    Outcome,
    candidates,
    distribute,
    preview,
    read_positions,
)
from staff.acting import actor_of
from staff.pages import ReadOnlyAdmin
from staff.roles import OPERATE_ORDERS
from strategies.models import StrategyAccount

_SHARE, _SEEN, _CONFIRM = "share_", "seen_", "confirm"
_REFUSALS = {
    "settled": _("Somebody has settled it meanwhile. Nothing was booked."),
    "too_much": _(
        "The amounts together are more than what is left, or of the other sign. Nothing was booked."
    ),
    "nothing_given": _("Give at least one strategy account an amount."),
    "positions_changed": _(
        "The positions have changed since the preview. Look at them again. Nothing was booked."
    ),
    "not_candidate": _("A strategy account of another account or market type cannot take part."),
    "price_missing": _("A strategy account without a position needs a price."),
}


class DistributionForm(forms.Form):
    """One amount per strategy account, signed, in base units; a price for corrections; and the reason."""

    reason = forms.CharField(label=_("reason"), max_length=200)

    def __init__(self, *args: Any, accounts: Sequence[StrategyAccount], has_price: bool, **more: Any) -> None:
        super().__init__(*args, **more)
        for account in accounts:
            self.fields[f"{_SHARE}{account.pk}"] = _amount_field(label=str(account))
        if has_price:
            self.fields["price"] = _amount_field(
                label=_("price"),
                min_value=Decimal(0),
                help_text=_(
                    "Empty: the average entry price of each position, so that nothing is won or lost."
                ),
            )

    def shares(self) -> Shares:
        given = {
            name: value for name, value in self.cleaned_data.items() if name.startswith(_SHARE) and value
        }
        return {int(name.removeprefix(_SHARE)): value for name, value in given.items()}

    def amounts(self) -> list[forms.BoundField]:
        return [field for field in self if field.name.startswith(_SHARE)]

    def others(self) -> list[forms.BoundField]:
        return [field for field in self if not field.name.startswith(_SHARE)]


def _amount_field(**more: Any) -> forms.DecimalField:
    return forms.DecimalField(required=False, max_digits=DIGITS, decimal_places=PLACES, **more)


class DistributingAdmin(ReadOnlyAdmin):
    """Adds the page to a list of events or differences. Nothing is booked before the preview was confirmed."""

    has_price = False
    operate_right = OPERATE_ORDERS

    def distribution_of(self, row: Any, price: Decimal | None) -> Distribution:
        raise NotImplementedError

    def is_open(self, row: Any) -> bool:
        raise NotImplementedError

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """What is booked or declared lets the account trade again, so a user who may only look must do neither."""
        return request.user.has_perm(self.operate_right)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.distribution_view)
        return [path("<path:object_id>/distribute/", view, name=self._page()), *super().get_urls()]

    def _page(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_distribute"

    @admin.display(description=_("distribution"))
    def distribution_link(self, row: Any) -> str:
        if not self.is_open(row):
            return "-"
        return format_html(
            '<a href="{}">{}</a>', reverse(f"admin:{self._page()}", args=[row.pk]), _("distribute")
        )

    def distribution_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.has_operate_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        distribution = self.distribution_of(row, None)
        accounts = candidates(distribution.holding)
        form = DistributionForm(request.POST or None, accounts=accounts, has_price=self.has_price)
        outcomes: list[Outcome] = []
        if request.method == "POST" and form.is_valid():
            distribution = self.distribution_of(row, form.cleaned_data.get("price"))
            try:
                if _CONFIRM in request.POST:
                    return self._book(request, distribution, form)
                states = read_positions(distribution.holding)
                outcomes = preview(distribution, form.shares(), states, now=timezone.now())
            except NotDistributable as error:
                form.add_error(None, _REFUSALS[error.code])
        return self._show(request, row, form, self.distribution_of(row, None), outcomes)

    def _book(self, request: HttpRequest, distribution: Distribution, form: DistributionForm) -> HttpResponse:
        shares = form.shares()
        distribute(
            distribution,
            shares,
            expected={pk: _seen(request, pk) for pk in shares},
            actor=actor_of(request, self.operate_right),
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
        )
        accounts = StrategyAccount.objects.select_related("strategy", "account").in_bulk(shares)
        for pk, quantity in shares.items():
            text: Any = _("%(account)s: %(quantity)s of %(symbol)s booked.")
            names = {
                "account": accounts[pk],
                "quantity": plain(quantity),
                "symbol": distribution.holding.symbol,
            }
            self.message_user(request, text % names, messages.SUCCESS)
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))

    def _show(
        self,
        request: HttpRequest,
        row: Any,
        form: DistributionForm,
        distribution: Distribution,
        outcomes: Sequence[Outcome],
    ) -> HttpResponse:
        states = read_positions(distribution.holding)
        fields = {field.name: field for field in form.amounts()}
        listed = [
            (
                account,
                plain(states.get(account.pk, PositionState()).quantity),
                fields[f"{_SHARE}{account.pk}"],
            )
            for account in candidates(distribution.holding)
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Distribute"),
            "opts": self.opts,
            "row": row,
            "holding": distribution.holding,
            "left": plain(distribution.left),
            "price": distribution.event.price if distribution.event else None,
            "form": form,
            "listed": listed,
            "outcomes": [_outcome_row(outcome) for outcome in outcomes],
            "back": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"),
        }
        return TemplateResponse(request, "admin/orders/distribute.html", context)


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "strategy_account": outcome.strategy_account,
        "quantity": plain(outcome.quantity),
        "before": plain(outcome.before.quantity),
        "after": plain(outcome.after.quantity),
        "profit": plain(outcome.profit),
        "fee": plain(outcome.after.fees - outcome.before.fees),
        "seen": f"{_SEEN}{outcome.strategy_account.pk}",
    }


def _seen(request: HttpRequest, pk: int) -> Decimal | None:
    """The position that the preview showed; None, which equals no position, where the form does not tell."""
    try:
        return Decimal(request.POST.get(f"{_SEEN}{pk}", ""))
    except InvalidOperation:
        return None
