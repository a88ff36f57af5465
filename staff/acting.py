"""The person behind a request of the admin, as the audit trail and order events name them."""

from django.contrib.auth.models import User
from django.http import HttpRequest

from audit.actor import Actor


def actor_of(request: HttpRequest, right: str) -> Actor:
    """`right` is the permission that the page or action demanded, such as `orders.change_order`."""
    assert isinstance(request.user, User)
    return actor_of_user(request.user, right, address=getattr(request, "client_address", ""))


def actor_of_user(user: User, right: str, *, address: str = "") -> Actor:
    return Actor(f"user:{user.pk}", right, label=user.get_username(), address=address)
