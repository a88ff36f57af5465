"""Rights for single acts of staff, and the roles. Every migrate makes the groups equal to the roles."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from django.contrib.auth.models import Group, Permission
from django.db import transaction

HALT = "staff.halt"
RESUME = "staff.resume"
OPERATE_ORDERS = "staff.operate_orders"
CHANGE_LIMITS = "staff.change_limits"
REPLACE_KEYS_OF_OTHERS = "staff.replace_keys_of_others"
ISSUE_TOKENS_FOR_OTHERS = "staff.issue_tokens_for_others"
MANAGE_PEOPLE = "staff.manage_people"

# Each is made for one act, so that no right to edit rows lets a person trade or take over.
RIGHTS = {
    HALT: "Can halt trading, or let only exits out",
    RESUME: "Can let trading go on",
    OPERATE_ORDERS: "Can cancel orders, close positions and decide about doubts",
    CHANGE_LIMITS: "Can change limits and budgets",
    REPLACE_KEYS_OF_OTHERS: "Can enter exchange keys for accounts of others",
    ISSUE_TOKENS_FOR_OTHERS: "Can issue tokens for others",
    MANAGE_PEOPLE: "Can manage people and their roles",
}

# Patterns of permissions. A permission that a later version adds belongs to the roles whose pattern it fits.
ROLES = {
    "owner": ("*",),
    "operator": (
        HALT,
        OPERATE_ORDERS,
        "exchanges.view_*",
        "exchanges.change_exchangepause",
        "strategies.view_*",
        "orders.view_*",
        "webhooks.view_*",
    ),
    "auditor": ("*.view_*",),
    "support": (
        "exchanges.view_market",
        "exchanges.view_marketlist",
        "exchanges.view_exchangepause",
        "orders.view_order",
        "orders.view_openorder",
        "orders.view_pendingorder",
        "orders.view_failedorder",
        "orders.view_orderevent",
        "orders.view_batch",
        "orders.view_cancellation",
        "orders.view_missedalert",
        "webhooks.view_*",
    ),
}

Row = tuple[int, int]  # of a group and of a permission


@transaction.atomic
def ensure_roles() -> None:
    """Makes the groups of ROLES, with exactly the permissions of their patterns. Called after every migrate."""
    known = {group.name: group.pk for group in Group.objects.filter(name__in=ROLES)}
    for name in ROLES.keys() - known.keys():
        known[name] = Group.objects.create(name=name).pk
    wanted = set(_wanted_rows(known))
    held = Group.permissions.through.objects.filter(group__in=known.values())
    there = set(held.values_list("group_id", "permission_id"))
    for group, permission in there - wanted:
        held.filter(group_id=group, permission_id=permission).delete()
    Group.permissions.through.objects.bulk_create(
        Group.permissions.through(group_id=group, permission_id=permission)
        for group, permission in sorted(wanted - there)
    )


def _wanted_rows(groups: dict[str, int]) -> Iterator[Row]:
    permissions = Permission.objects.values_list("pk", "content_type__app_label", "codename")
    for pk, app, codename in permissions.order_by():
        yield from ((groups[role], pk) for role in ROLES if has_right(role, f"{app}.{codename}"))


def has_right(role: str, right: str) -> bool:
    return any(fnmatchcase(right, pattern) for pattern in ROLES[role])
