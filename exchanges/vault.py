"""Encryption of stored credentials: MultiFernet, with the row's identity inside the plaintext.

Fernet has no associated data, so a ciphertext copied into another row would decrypt in the other row. The check of the
identity after decryption makes a moved ciphertext fail like a forged ciphertext.
"""

import json
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from exchanges.adapters.protocol import Credentials


class CredentialsUnreadable(Exception):
    """The stored credentials do not decrypt for this row. Enter the credentials again, or restore the key."""


@cache
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _current_cipher() -> MultiFernet:
    return _cipher(tuple(settings.CREDENTIAL_KEYS))


def seal(credentials: Credentials, *, identity: str) -> str:
    return seal_fields([credentials.api_key, credentials.secret, credentials.password], identity=identity)


def unseal(sealed: str, *, identity: str) -> Credentials:
    """Raises CredentialsUnreadable for a wrong key, a forged text or another row's text."""
    try:
        return Credentials(*unseal_fields(sealed, identity=identity))
    except TypeError as error:
        raise CredentialsUnreadable from error


class SealedRow(Protocol):
    """An account's row: a ciphertext, and the identity inside the ciphertext."""

    @property
    def sealed_credentials(self) -> str: ...

    @property
    def identity(self) -> str: ...


def credentials_of(account: SealedRow) -> Credentials:
    """The credentials of an account. Raises CredentialsUnreadable."""
    return _cached_credentials(account.sealed_credentials, account.identity, tuple(settings.CREDENTIAL_KEYS))


# Decrypting costs as much as signing. A cache of credentials gives nothing away: the process holds the keys anyway.
@lru_cache(maxsize=4096)
def _cached_credentials(sealed: str, identity: str, keys: tuple[str, ...]) -> Credentials:
    """`keys` are part of the cache key, so a ciphertext becomes unreadable once its encryption key was taken away."""
    return unseal(sealed, identity=identity)


def seal_fields(fields: Sequence[str], *, identity: str) -> str:
    return _current_cipher().encrypt(json.dumps([identity, *fields]).encode()).decode()


def unseal_fields(sealed: str, *, identity: str) -> list[str]:
    """Raises CredentialsUnreadable, as unseal does."""
    try:
        decrypted: list[str] = json.loads(_current_cipher().decrypt(sealed.encode()))
        bound_to, *fields = decrypted
    except (InvalidToken, ValueError) as error:
        raise CredentialsUnreadable from error
    if bound_to != identity:
        raise CredentialsUnreadable
    return fields


def reseal(sealed: str) -> str:
    """The same plaintext under the newest key. Raises CredentialsUnreadable."""
    try:
        return _current_cipher().rotate(sealed.encode()).decode()
    except InvalidToken as error:
        raise CredentialsUnreadable from error
