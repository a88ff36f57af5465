"""Counts the pronouns in the docstrings of each app: a docstring whose nouns are missing cannot be read alone.

python script/pronouns.py          fails where an app has more than LIMIT pronouns per 100 words
python script/pronouns.py FILE...  prints the count of each file, worst first
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APPS = ["audit", "staff", "exchanges", "strategies", "orders", "webhooks", "tradehub"]
PRONOUNS = {"it", "its", "that", "what", "those", "one", "ones", "whoever", "whatever", "which"}
LIMIT = 6.0  # per 100 words


def words_of(path: Path) -> list[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, documented)]
    texts = (ast.get_docstring(node) or "" for node in nodes)
    return [word.lower() for text in texts for word in re.findall(r"[A-Za-z']+", text)]


def sources_of(app: str) -> Iterator[Path]:
    for path in sorted((ROOT / app).rglob("*.py")):
        if not {"migrations", "tests"} & set(path.parts):
            yield path


def per_100(words: list[str]) -> float:
    return 100 * sum(word in PRONOUNS for word in words) / max(1, len(words))


def count_apps() -> bool:
    """Prints a line for each app. Returns whether all apps keep to the limit."""
    counts = {app: per_100([word for path in sources_of(app) for word in words_of(path)]) for app in APPS}
    for app, count in counts.items():
        print(f"{app}: {count:.1f} pronouns per 100 words of docstrings, at most {LIMIT}")
    return all(count <= LIMIT for count in counts.values())


def count_files(names: list[str]) -> None:
    counted = sorted(((per_100(words_of(Path(name))), name) for name in names), reverse=True)
    for count, name in counted:
        print(f"{count:5.1f} {name}")


if __name__ == "__main__":
    if sys.argv[1:]:
        count_files(sys.argv[1:])
    elif not count_apps():
        sys.exit("Name the nouns: each docstring's sentence can be read alone.")
