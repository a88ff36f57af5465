"""The released schemas, their filled databases, and the migrations that have landed.

A release is a file `VERSION.json` in this folder: the last migration of each app, and the rows of a filled database.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from tradehub.environment import BASE_DIR

FOLDER = Path(__file__).parent
APPS = ("audit", "staff", "exchanges", "strategies", "orders", "webhooks")  # as their foreign keys point
LANDED = FOLDER / "landed.json"
Json = dict[str, Any]


def versions() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("[0-9]*.json"))


def release(version: str) -> Json:
    return json.loads((FOLDER / f"{version}.json").read_text())


def migrations() -> dict[str, str]:
    """Path -> SHA-256 of each migration in the tree."""
    paths = sorted(path for app in APPS for path in (BASE_DIR / app / "migrations").glob("[0-9]*.py"))
    return {str(path.relative_to(BASE_DIR)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def landed() -> dict[str, str]:
    return json.loads(LANDED.read_text())


def note_new_migrations() -> None:
    """Adds the migrations that are new. The hash of a landed migration stays."""
    LANDED.write_text(json.dumps(migrations() | landed(), indent=2, sort_keys=True) + "\n")
