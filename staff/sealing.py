"""Encryption of second factors with CREDENTIAL_KEYS. The person stands inside the ciphertext.

Fernet has no associated data, so a ciphertext copied to another person would decrypt there. The check after decryption
makes a moved ciphertext fail like a forged one. The exchanges' keys are sealed likewise, a layer above.
"""

import json

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class SealBroken(Exception):
    """The text does not decrypt for this purpose and person, or is too old."""


def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIAL_KEYS])


def seal(secret: bytes, *, purpose: str, person: int) -> str:
    return _cipher().encrypt(json.dumps([purpose, person, secret.hex()]).encode()).decode()


def unseal(sealed: str, *, purpose: str, person: int, within_s: int | None = None) -> bytes:
    """Raises SealBroken."""
    try:
        bound_to, whom, secret = json.loads(_cipher().decrypt(sealed.encode(), ttl=within_s))
    except (InvalidToken, ValueError) as error:
        raise SealBroken from error
    if (bound_to, whom) != (purpose, person):
        raise SealBroken
    return bytes.fromhex(secret)


def reseal(sealed: str) -> str:
    """The same text under the newest key. Raises SealBroken."""
    try:
        return _cipher().rotate(sealed.encode()).decode()
    except InvalidToken as error:
        raise SealBroken from error
