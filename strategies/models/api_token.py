from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from exchanges.models.fixed import refuse_change
from strategies import tokens
from strategies.models.token import Token, TokenQuerySet


class ApiToken(Token):
    """Opens the REST API for one user, who then reads the user's own rows."""

    mark = tokens.API_MARK

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="api_tokens", verbose_name=_("user")
    )

    objects = TokenQuerySet["ApiToken"].as_manager()

    class Meta(Token.Meta):
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def clean(self) -> None:
        refuse_change(self, "user")
