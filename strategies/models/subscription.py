from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from exchanges.models.fixed import refuse_change


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def active(self) -> "SubscriptionQuerySet":
        return self.filter(is_active=True, strategy__is_public=True, user__is_active=True)


class Subscription(models.Model):
    """A user follows a public strategy."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="subscriptions", verbose_name=_("user")
    )
    strategy = models.ForeignKey(
        "strategies.Strategy", models.PROTECT, related_name="subscriptions", verbose_name=_("strategy")
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    added_as = Action.PARTICIPATION_BEGUN

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        constraints = [models.UniqueConstraint(fields=["user", "strategy"], name="subscribed_once")]

    def __str__(self) -> str:
        return f"{self.user} → {self.strategy}"

    def clean(self) -> None:
        refuse_change(self, "user", "strategy")
