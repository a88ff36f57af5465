"""What import-linter cannot see: which part of Django a pure module takes, and what the document calls pure."""

import ast
import re
import tomllib
from pathlib import Path

import grimp
import pytest

from tradehub.environment import BASE_DIR

APPS = ("webhooks", "orders", "strategies", "exchanges")
WELCOME = {
    "django.db.models.TextChoices",  # names, no database
    "django.utils.functional.lazy",
    "django.utils.translation.gettext_lazy",
}
CONTRACTS = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PURE = next(c for c in CONTRACTS if c["name"].startswith("Pure modules"))["source_modules"]
GRAPH = grimp.build_graph(*APPS)
REACHED = sorted({*PURE, *(m for pure in PURE for m in GRAPH.find_upstream_modules(pure))})


def source(module: str) -> ast.Module:
    return ast.parse((BASE_DIR / Path(*module.split("."))).with_suffix(".py").read_text())


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


def test_the_document_names_the_modules_that_the_contract_holds():
    text = (BASE_DIR / "docs/architecture.md").read_text()
    (listed,) = re.findall(r"Pure modules \(([^)]*)\)", text)

    named = {path.removesuffix(".py").replace("/", ".") for path in re.findall(r"`([^`]+)`", listed)}

    assert named == set(PURE)


def test_the_whole_check_wants_every_branch_of_these_modules():
    lines = re.findall(r"^PURE=(\S+)$", (BASE_DIR / "script/test").read_text(), re.MULTILINE)

    covered = {path.removesuffix(".py").replace("/", ".") for line in lines for path in line.split(",")}

    assert covered - {"$PURE"} == set(PURE)
