"""Reports of exceptions show no secret, in no function, whatever DEBUG says."""

import ast
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.urls import reverse
from django.views.debug import ExceptionReporter, get_exception_reporter_class

from exchanges import vault
from exchanges.account_checks import entry_check
from exchanges.adapters import signing
from tradehub.environment import BASE_DIR
from tradehub.exception_report import is_hidden_name

APPS = ("tradehub", "webhooks", "orders", "strategies", "exchanges", "staff", "audit")
CANARY = "canaryWORD"
TOKEN = "th_" + CANARY * 4


class Broken(Exception):
    pass


@pytest.fixture(params=[True, False], ids=["DEBUG", "production"])
def debug(request, settings):
    settings.DEBUG = request.param


def report(request=None):
    reporter = get_exception_reporter_class(request)(request, *sys.exc_info())
    html = reporter.get_traceback_html()
    assert html.rstrip().endswith("</html>")
    return html + reporter.get_traceback_text()


def report_of(call):
    try:
        call()
    except Exception:  # noqa: BLE001 - of whatever kind, it is reported
        return report(RequestFactory().post("/", {"api_key": CANARY, "secret": CANARY, "name": "shown name"}))
    pytest.fail("no exception")


def sign_badly():
    signing.signed_query({"a": Unprintable()}, CANARY)


class Unprintable:
    def __str__(self):
        raise Broken

    __repr__ = __str__


def seal_badly():
    vault.seal_fields([CANARY, Unprintable()], place=vault.Place("a", "b", 1, "c"))


def hold_in_unnamed_places():
    body = f'{{"token": "{TOKEN}"}}'.encode()
    part = {"headers": {"X-MBX-APIKEY": CANARY, "Cookie": f"sessionid={CANARY}; a=b"}}
    address = f"postgres://hub:{CANARY}@db/hub"
    query = f"symbol=BTCUSDT&signature={CANARY}"
    raise Broken(body, part, address, query, f"at /api/webhook/{TOKEN}")


def fail_deep_in_a_library():
    apiKey, passphrase = CANARY, CANARY
    assert apiKey == passphrase
    int("no number")


@pytest.mark.parametrize("call", [sign_badly, seal_badly, hold_in_unnamed_places, fail_deep_in_a_library])
def test_a_report_shows_no_secret(debug, call):
    text = report_of(call)

    assert CANARY not in text
    assert call.__name__ in text
    assert "shown name" in text


def test_the_report_would_show_the_secrets_without_the_rule(settings):
    """What the other tests look for, Django's own report has."""
    settings.DEBUG = True
    settings.DEFAULT_EXCEPTION_REPORTER_FILTER = "django.views.debug.SafeExceptionReporterFilter"
    try:
        hold_in_unnamed_places()
    except Broken:
        assert CANARY in ExceptionReporter(None, *sys.exc_info()).get_traceback_text()


def test_settings_with_secrets_are_hidden(debug):
    text = report_of(hold_in_unnamed_places)

    for value in (settings.SECRET_KEY, *settings.CREDENTIAL_KEYS):
        assert value not in text
    for name in ("DATABASES", "CACHES", "Q_CLUSTER"):
        assert f"{name} = &#x27;****" in text or f"{name} = '****" in text


@pytest.mark.django_db
def test_the_form_of_keys_tells_no_key_in_a_report(client, alice, debug, monkeypatch):
    """A fault while the exchange is asked about a key, with the key in every frame."""
    client.force_login(User.objects.create_superuser("desk"))
    client.raise_request_exception = False

    def break_down(exchange, credentials):
        raise Broken(f"{exchange} {credentials.api_key}"[:5])

    monkeypatch.setattr(entry_check, "examine_key", break_down)
    form = {"owner": alice.pk, "name": "A1", "exchange": "paper"}
    form |= {"api_key": CANARY, "secret": CANARY * 2, "password": CANARY * 3}

    response = client.post(reverse("admin:exchanges_account_add"), form)

    assert response.status_code == 500
    assert ("changeform_view" in response.content.decode()) == settings.DEBUG
    assert CANARY not in response.content.decode()


# Each place where a secret gets a name, by rule: new functions are found.

SOURCES = {
    "new_token", "new_signing_secret", "renew_signing_secret", "issue", "unseal", "unseal_fields", "credentials_of",
    "credentials_in", "token_urlsafe", "token_hex", "token_bytes", "generate_key", "signed_query",
    "get_random_secret_key", "Credentials", "secret_of", "generate_private_key", "private_bytes", "_bearer_token",
    "_read_token", "decrypt",
}  # fmt: skip
ATTRIBUTES = {"secret", "api_key", "apiKey", "password", "signing_secret", "clear", "token_found"}
PASSED_ON = (
    ast.Tuple,
    ast.List,
    ast.Await,
    ast.JoinedStr,
    ast.FormattedValue,
    ast.BinOp,
    ast.IfExp,
    ast.BoolOp,
)
NO_SECRET = {
    ("orders/execution/batches.py", "by"),  # random text in the name of a run opens nothing
    ("exchanges/paper/wire/faults.py", "chosen"),  # a key of the paper exchange
}


def is_secret(node):
    """Whether an expression gives a secret: a source, or what text operations make of it."""
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return name in SOURCES or (isinstance(node.func, ast.Attribute) and is_secret(node.func.value))
    if isinstance(node, ast.Attribute):
        return node.attr in ATTRIBUTES
    if isinstance(node, PASSED_ON):
        return any(is_secret(child) for child in ast.iter_child_nodes(node))
    return isinstance(node, ast.ListComp) and is_secret(node.elt)


def bound_names(target, value):
    """The names that an assignment gives to secrets; attributes of objects are no variables."""
    if isinstance(target, ast.Tuple):
        is_pairwise = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
        for place, part in enumerate(target.elts):
            yield from bound_names(part, value.elts[place] if is_pairwise else value)
    elif isinstance(target, ast.Name) and is_secret(value):
        yield target.id


def named_in(function):
    """The names in a function that stand for secrets, beside those of functions inside."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from bound_names(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr | ast.AugAssign) and node.value is not None:
            yield from bound_names(node.target, node.value)
    arguments = function.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if argument.annotation is not None and "Credentials" in ast.unparse(argument.annotation):
            yield argument.arg


def is_decorated(function):
    return any("sensitive_variables" in ast.unparse(decorator) for decorator in function.decorator_list)


def shown_secrets(tree):
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        for name in named_in(function):
            if not (is_hidden_name(name) or is_decorated(function)):
                yield function.name, name


def test_every_variable_with_a_secret_is_hidden_by_its_name_or_by_a_decorator():
    shown = [
        (file.relative_to(BASE_DIR).as_posix(), function, name)
        for app in APPS
        for file in Path(BASE_DIR / app).rglob("*.py")
        if not {"tests", "migrations"} & set(file.relative_to(BASE_DIR).parts)
        for function, name in shown_secrets(ast.parse(file.read_text()))
    ]

    assert [entry for entry in shown if (entry[0], entry[2]) not in NO_SECRET] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def f(account):\n  x = credentials_of(account)", ["x"]),
        ("def f(account):\n  x, y = credentials_of(account).api_key.encode(), 1", ["x"]),
        ("def f(account):\n  x, y = issue(account)", ["x", "y"]),
        ("async def f(c: Credentials | None):\n  pass", ["c"]),
        ("def f(token):\n  if x := f'{token.signing_secret}!':\n    pass", ["x"]),
        ("@sensitive_variables()\ndef f(account):\n  x = credentials_of(account)", []),
        ("def f(account):\n  credentials = credentials_of(account)", []),
        ("def f(account):\n  x = len(account.name)", []),
    ],
)
def test_the_rule_finds_what_it_should(code, found):
    assert [name for _function, name in shown_secrets(ast.parse(code))] == found
