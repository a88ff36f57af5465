"""Writes .env with new secrets where no .env exists: `python -m tradehub.first_env`. Never overwrites a file."""

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet

TEXT = """\
# Made on first start. Every setting: .env.example
SECRET_KEY={secret_key}
# Encrypts the exchange keys. Losing it means entering every exchange key again.
CREDENTIAL_KEYS={credential_key}
# The demo's administrator signs in with the password alone. Take this line out before real keys are entered.
STAFF_SECOND_FACTOR=false
"""


def write_first_env(path: Path) -> bool:
    """Returns whether the call made the file. The file appears whole or not at all."""
    if path.exists():
        return False
    text = TEXT.format(secret_key=secrets.token_urlsafe(50), credential_key=Fernet.generate_key().decode())
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    else:
        return True
    finally:
        draft.unlink()


if __name__ == "__main__":
    if write_first_env(Path(__file__).resolve().parent.parent / ".env"):
        print("==> Wrote .env with new secrets")
