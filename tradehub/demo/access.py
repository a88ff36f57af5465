"""var/demo.json: what a person or a script needs to use the running demo."""

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
    """What an earlier run left; empty where there is none or it is not readable."""
    try:
        stored = json.loads(path.read_text())
        return Access(**{name: stored[name] for name in asdict(Access()) if name in stored})
    except (FileNotFoundError, ValueError, TypeError):
        return Access()


def write_access(path: Path, access: Access) -> None:
    """The file appears whole or not at all, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(access), file, indent=2)
        file.write("\n")
    draft.replace(path)
