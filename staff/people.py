"""Who may change whose roles: nobody's own, nobody with more rights, and no right that one has not."""

from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.db.models import Q, QuerySet

from staff.roles import MANAGE_PEOPLE

Person = User | AnonymousUser


def rights_of(person: Person) -> set[int]:
    """The permissions of a person, also while the person is switched off."""
    if isinstance(person, AnonymousUser):
        return set()
    held = Permission.objects.filter(Q(user=person) | Q(group__user=person))
    return set(held.values_list("pk", flat=True).order_by())


def may_manage(person: Person, other: User) -> bool:
    """Whether `person` may change roles, password, activity or second factor of `other`."""
    if isinstance(person, AnonymousUser) or person.pk == other.pk or not person.has_perm(MANAGE_PEOPLE):
        return False
    return person.is_superuser or (not other.is_superuser and rights_of(other) <= rights_of(person))


def grantable_permissions(person: Person) -> QuerySet[Permission]:
    everything = Permission.objects.select_related("content_type")
    return everything if person.is_superuser else everything.filter(pk__in=rights_of(person))


def grantable_roles(person: Person) -> QuerySet[Group]:
    """The groups whose rights the person has, all of them."""
    if person.is_superuser:
        return Group.objects.all()
    beyond = Permission.objects.exclude(pk__in=rights_of(person))
    return Group.objects.exclude(permissions__in=beyond)
