"""docs/access.md: what every address answers to every role and method, and who is offered which action of the admin.

python script/access.py            walk all addresses on a database of its own, and write the document
python script/access.py --check    fail where the document says something else

tests/test_access_table.py does the same with the database of the tests.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import Morsel
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()

from django.conf import settings  # noqa: E402
from django.contrib import admin  # noqa: E402 - models need the settings first
from django.contrib.auth.models import Group, User  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.template.backends.django import Template  # noqa: E402
from django.test import Client, RequestFactory  # noqa: E402
from django.urls import URLPattern, get_resolver, reverse  # noqa: E402
from django.utils import timezone  # noqa: E402

from orders.models import Trade  # noqa: E402
from orders.serializers import ID_SEPARATOR  # noqa: E402
from staff.models import SignIn  # noqa: E402
from staff.roles import ROLES  # noqa: E402
from strategies.models import ApiToken  # noqa: E402

DOCUMENT = ROOT / "docs" / "access.md"
WHO = ("anonymous", "API token", "user", "staff", *reversed(ROLES), "superuser")
READ, OTHERS = ("GET", "HEAD"), ("PUT", "PATCH", "DELETE", "OPTIONS")
METHODS = (*READ, "POST", *OTHERS)
WITHOUT_NAME = {
    "<path:object_id>/": "1/",
    "(?P<url>.*)$": "nowhere",
    "^api/": "api/nowhere",
}  # an address of each
OF_A_SESSION = ("django_session", "staff_signin")  # what every visit may write

HEAD = f"""\
# Access

Made by `python script/access.py`, which asks every address as every role by every method. Change the code or the
script, and never this file; `tests/test_access_table.py` compares the file with the program.

Who: *anonymous*; *API token*, a program of a user without a session; *user*, a person who is not staff; *staff*,
without any role; the roles {", ".join(f"*{role}*" for role in ROLES)}; and a *superuser*.

A cell has three statuses: of GET and HEAD, of POST with an empty form, and of PUT, PATCH, DELETE and OPTIONS.
*login* and *confirm* are redirects to the page of that name. A POST with 200 shows the form again, or the question.
A method with another status than its companions stands before its own.
"""


@dataclass
class Walk:
    """`writes` are the statements that a look at a page wrote with, besides the session's."""

    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    actions: dict[str, dict[str, bool]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)


# --- rows


def ensure_row(model: type[models.Model]) -> models.Model:
    """A row of the model, made with the rows that it refers to where there is none."""
    row = model._base_manager.order_by("pk").first()
    if row is None:
        values = {
            one.attname: _value_of(one)
            for one in model._meta.concrete_fields
            if not one.primary_key and not one.has_default() and not (one.null or one.blank)
        }
        row = model(**values)
        models.Model.save_base(row, force_insert=True)
    return row


def _value_of(one: Any) -> Any:
    if one.is_relation:
        return ensure_row(one.related_model).pk
    if one.choices:
        return one.choices[0][0]
    match one.get_internal_type():
        case "DateTimeField":
            return timezone.now()
        case "CharField" | "TextField" | "BinaryField":
            return one.name[: one.max_length or 20]
        case "BooleanField":
            return False
        case "JSONField":
            return {}
        case _:
            return 1


def people() -> dict[str, User]:
    made = {}
    for who in WHO[2:]:
        user = User(username=who, is_staff=who != "user", is_superuser=who == "superuser")
        user.set_unusable_password()
        user.save()
        if who in ROLES:
            user.groups.add(Group.objects.get(name=who))
        made[who] = user
    return made


# --- addresses


def addresses() -> dict[str, str]:
    """The pattern of each address, and an address that fits."""
    found: dict[str, str] = {}
    for prefix, namespace, pattern in _patterns(get_resolver(), "/", ""):
        text = prefix + _route_of(pattern)
        if pattern.name is None:
            assert str(pattern.pattern) in WITHOUT_NAME, f"{text} has no name"
            found[text] = prefix + WITHOUT_NAME[str(pattern.pattern)]
        else:
            found[text] = reverse(namespace + pattern.name, kwargs=_arguments(pattern))
    return found


def _patterns(resolver: Any, prefix: str, namespace: str) -> Iterator[tuple[str, str, URLPattern]]:
    for one in resolver.url_patterns:
        if isinstance(one, URLPattern):
            yield prefix, namespace, one
        else:
            inner = f"{one.namespace}:" if one.namespace else ""
            yield from _patterns(one, prefix + str(one.pattern), namespace + inner)


def _route_of(pattern: URLPattern) -> str:
    text = re.sub(r"\(\?P<(\w+)>\[\^/\.\]\+\)", r"<\1>", str(pattern.pattern))
    for before, after in (("^", ""), ("$", ""), ("/?", ""), ("\\.", "."), ("(?:admin)?", "")):
        text = text.replace(before, after)
    return text if "(?P<app_label>" not in text else "<app_label>/"


def _arguments(pattern: URLPattern) -> dict[str, Any]:
    names = [*pattern.pattern.converters, *pattern.pattern.regex.groupindex]
    known: dict[str, Any] = {"app_label": "orders", "content_type_id": 1}
    if pattern.name in ("order-detail", "trade-detail"):
        trade: Any = ensure_row(Trade)
        order = trade.order.client_order_id
        known |= {"client_order_id": order, "id": f"{order}{ID_SEPARATOR}{trade.trade_id}"}
    return {name: known.get(name) or _pk_for(str(pattern.name)) for name in names}


def _pk_for(name: str) -> Any:
    """The key of a row that the page of this name shows."""
    app, _, rest = name.partition("_")
    for model in admin.site._registry:
        if (app, rest.partition("_")[0]) == (model._meta.app_label, model._meta.model_name):
            return ensure_row(model).pk
    return ensure_row(SignIn).pk if name == "session_end" else 1


# --- the walk


def walk() -> Walk:
    """Pages are not drawn: what counts is who gets an answer. The database is thrown away afterwards."""
    found = Walk()
    cast = people()
    ensure_row(ApiToken)
    _, clear = ApiToken.objects.issue(user=cast["user"])
    clients = {who: Client(raise_request_exception=False) for who in WHO}
    clients["API token"] = Client(raise_request_exception=False, headers={"Authorization": f"Token {clear}"})
    for who, user in cast.items():
        clients[who].force_login(user)  # the first entries of the audit trail begin its chain
    with mock.patch.object(Template, "render", return_value=""), _no_menus():
        for pattern, address in addresses().items():
            for who in WHO:
                SignIn.objects.exclude(ended_at=None).update(ended_at=None)
                statuses = dict(_ask(clients[who], cast.get(who), address, found))
                found.rows.setdefault(pattern, {})[who] = cell_of(statuses)
    for model, page in sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label_lower):
        for who, user in cast.items():
            for action in _actions_of(page, user):
                name = f"{model._meta.label_lower}: {action}"
                found.actions.setdefault(name, dict.fromkeys(WHO, False))[who] = True
    return found


def _no_menus() -> Any:
    of_app = admin.site.get_app_list
    return mock.patch.object(
        admin.site, "get_app_list", lambda request, app=None: of_app(request, app) if app else []
    )


def _ask(client: Client, user: User | None, address: str, found: Walk) -> Iterator[tuple[str, str]]:
    for method in METHODS:
        if user is not None and not client.cookies.get(settings.SESSION_COOKIE_NAME, Morsel()).value:
            client.force_login(user)
        with _writes(
            found.writes if method in READ and address.startswith("/admin/") else [], f"{method} {address}"
        ):
            response = client.generic(method, address, b"", content_type="application/x-www-form-urlencoded")
        yield method, status_of(response)


@contextmanager
def _writes(noted: list[str], what: str) -> Iterator[None]:
    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE", "DELETE")) and not any(name in sql for name in OF_A_SESSION):
            noted.append(f"{what}: {sql}")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield


def status_of(response: Any) -> str:
    location = response.headers.get("Location", "")
    for page in ("login", "confirm"):
        if location.startswith(f"/admin/{page}/"):
            return page
    return str(response.status_code)


def cell_of(statuses: dict[str, str]) -> str:
    return " ".join(
        named
        for group in (READ, ("POST",), OTHERS)
        for named in _group_of({method: statuses[method] for method in group})
    )


def _group_of(statuses: dict[str, str]) -> list[str]:
    """The status of most methods of the group, then the others by their names."""
    usual = max(statuses.values(), key=list(statuses.values()).count)
    return [usual, *(f"{method}:{status}" for method, status in statuses.items() if status != usual)]


def _actions_of(page: Any, user: User) -> list[str]:
    request = RequestFactory().get("/")
    request.user = user
    return list(page.get_actions(request)) if page.has_view_or_change_permission(request) else []


# --- the document


def document(found: Walk) -> str:
    header = f"| {{}} | {' | '.join(WHO)} |\n|{'---|' * (len(WHO) + 1)}"
    pages = [
        f"| `{pattern}` | {' | '.join(cells[who] for who in WHO)} |" for pattern, cells in found.rows.items()
    ]
    actions = [
        f"| `{name}` | {' | '.join('yes' if who_may[who] else '' for who in WHO)} |"
        for name, who_may in found.actions.items()
    ]
    return "\n".join(
        [
            HEAD,
            "## Addresses\n",
            header.format("address"),
            *pages,
            "\n## Actions of the admin's lists\n\nWhoever is not offered an action cannot post it either.\n",
            header.format("list: action"),
            *actions,
            "",
        ]
    )


def main() -> None:
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        found = walk()
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
    if "--check" not in sys.argv[1:]:
        DOCUMENT.write_text(document(found))
    elif not DOCUMENT.exists() or DOCUMENT.read_text() != document(found):
        sys.exit(f"{DOCUMENT.relative_to(ROOT)} is not what the program does. Run: python script/access.py")


if __name__ == "__main__":
    main()
