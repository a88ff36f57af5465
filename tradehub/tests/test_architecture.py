"""What import-linter cannot see: which part of Django a pure module takes, and what the document calls pure."""

import ast
import tomllib
from pathlib import Path

import grimp
import pytest

from tradehub.environment import BASE_DIR

APPS = ("tradehub", "webhooks", "orders", "strategies", "exchanges", "staff", "audit")
WELCOME = {
    "django.db.models.TextChoices",  # names, no database
    "django.utils.functional.Promise",  # the type of a text that is translated later
    "django.utils.functional.lazy",
    "django.utils.translation.gettext_lazy",
}
CONTRACTS = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PURE = next(c for c in CONTRACTS if c["name"].startswith("Pure modules"))["source_modules"]
GRAPH = grimp.build_graph(*APPS)
PURE_MODULES = {m for pure in PURE for m in (pure, *GRAPH.find_descendants(pure))}
REACHED = sorted({*PURE_MODULES, *(m for pure in PURE_MODULES for m in GRAPH.find_upstream_modules(pure))})


def source(module: str) -> ast.Module:
    path = BASE_DIR / Path(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())


def of_django(tree: ast.Module) -> set[str]:
    named = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    whole = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return {name for name in named | whole if name.split(".")[0] == "django"}


@pytest.mark.parametrize("module", REACHED)
def test_a_pure_module_takes_nothing_of_django_but_words(module):
    assert of_django(source(module)) <= WELCOME


@pytest.mark.parametrize("module", REACHED)
def test_a_pure_module_asks_no_clock(module):
    asked = {node.attr for node in ast.walk(source(module)) if isinstance(node, ast.Attribute)}

    assert asked.isdisjoint({"now", "utcnow", "today"})


PLUMBING = {"tests", "migrations", "commands", "management"}
ROOMS = sorted(
    module
    for module in (*APPS, *(m for app in APPS for m in GRAPH.find_descendants(app)))
    if (BASE_DIR / Path(*module.split("."))).is_dir() and PLUMBING.isdisjoint(module.split("."))
)


@pytest.mark.parametrize("room", ROOMS)
def test_a_folder_holds_at_most_16_modules(room):
    modules = [path for path in (BASE_DIR / Path(*room.split("."))).glob("*.py") if path.stem != "__init__"]

    assert len(modules) <= 16


@pytest.mark.parametrize("room", ROOMS)
def test_the_architecture_document_names_every_module(room):
    text = (BASE_DIR / "docs/architecture.md").read_text()
    folder = Path(*room.split("."))

    missing = [path.stem for path in (BASE_DIR / folder).glob("*.py") if f"`{path.stem}`" not in text]

    assert [stem for stem in missing if stem != "__init__"] == []
