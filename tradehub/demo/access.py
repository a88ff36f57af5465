"""Reads and writes var/demo.json: address, passwords, tokens and keys for persons and scripts that use the demo."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Access:
    url: str = ""
    token: str = ""
    subscriber_token: str = ""
    admin_user: str = ""
    admin_password: str = ""
    api_token: str = ""
    subscriber_api_token: str = ""
    accounts: dict[str, str] = field(default_factory=dict)  # name to paper API key


def read_access(path: Path) -> Access:
    """Returns the access of an earlier run; empty where the file is missing or malformed."""
    try:
        stored = json.loads(path.read_text())
        return Access(**{name: stored[name] for name in asdict(Access()) if name in stored})
    except (FileNotFoundError, ValueError, TypeError):
        return Access()


def write_access(path: Path, access: Access) -> None:
    """Writes the file, whole or not at all, readable by the file's owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(access), file, indent=2)
        file.write("\n")
    draft.replace(path)
