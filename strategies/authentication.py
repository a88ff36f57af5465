"""Authenticates users of the REST API by the header `Authorization: Token tr_…`."""

from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from strategies.models import ApiToken

SCHEME = "Token"


class ApiTokenAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _space, clear = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        now = timezone.now()
        token = ApiToken.objects.select_related("user").find(clear.strip(), now=now)
        if token is None:
            raise AuthenticationFailed(_("The API token is not valid."))
        token.note_use(now=now)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return SCHEME
