"""Encryption of stored credentials: MultiFernet, with the place of the ciphertext inside the plaintext.

Fernet has no associated data, so a ciphertext copied into another row would decrypt in the other row. The check of the
place after decryption makes a moved ciphertext fail like a forged ciphertext. The place names more than the row: a
writer of the database can copy a row's own id beside the ciphertext, and the credentials would then serve another
owner, another exchange or another token. docs/security.md says which changes of the database remain.
"""

import json
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple, Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from exchanges.adapters.protocol import Credentials


class CredentialsUnreadable(Exception):
    """The stored credentials do not decrypt for this row. Enter the credentials again, or restore the key."""


@cache
@sensitive_variables()
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _current_cipher() -> MultiFernet:
    return _cipher(tuple(settings.CREDENTIAL_KEYS))


class Place(NamedTuple):
    """Where a ciphertext belongs. Nothing of a place may change in the life of a row."""

    row: str  # the kind of the row, and an id that no other row ever has
    column: str  # table and column
    owner: int  # the user's primary key, which is in another table
    purpose: str  # what the secret opens: an exchange, or a token and its strategy


_VERSION = 2  # the first version bound to the row alone, and had no number


def seal(credentials: Credentials, *, place: Place) -> str:
    return seal_fields([credentials.api_key, credentials.secret, credentials.password], place=place)


def unseal(sealed: str, *, place: Place) -> Credentials:
    """Raises CredentialsUnreadable for a wrong key, a forged text or a text of another place."""
    try:
        return Credentials(*unseal_fields(sealed, place=place))
    except TypeError as error:
        raise CredentialsUnreadable from error


class SealedRow(Protocol):
    """An account's row: a ciphertext, and the place inside the ciphertext."""

    @property
    def sealed_credentials(self) -> str: ...

    @property
    def place(self) -> Place: ...


def credentials_of(account: SealedRow) -> Credentials:
    """The credentials of an account. Raises CredentialsUnreadable."""
    return _cached_credentials(account.sealed_credentials, account.place, tuple(settings.CREDENTIAL_KEYS))


# Decrypting costs as much as signing. A cache of credentials gives nothing away: the process holds the keys anyway.
@lru_cache(maxsize=4096)
@sensitive_variables()
def _cached_credentials(sealed: str, place: Place, keys: tuple[str, ...]) -> Credentials:
    """`keys` are part of the cache key, so a ciphertext becomes unreadable once its encryption key was taken away."""
    return unseal(sealed, place=place)


@sensitive_variables()
def seal_fields(fields: Sequence[str], *, place: Place) -> str:
    return _current_cipher().encrypt(json.dumps([_VERSION, list(place), *fields]).encode()).decode()


@sensitive_variables()
def unseal_fields(sealed: str, *, place: Place) -> list[str]:
    """Raises CredentialsUnreadable, as unseal does."""
    try:
        found, *rest = json.loads(_current_cipher().decrypt(sealed.encode()))
        bound_to, *fields = rest if found == _VERSION else [found, *rest]
    except (InvalidToken, ValueError) as error:
        raise CredentialsUnreadable from error
    if bound_to != (list(place) if found == _VERSION else place.row):
        raise CredentialsUnreadable
    return fields


def reseal(sealed: str, *, place: Place) -> str:
    """The same secrets under the newest key and bound to the whole place. Raises CredentialsUnreadable."""
    return seal_fields(unseal_fields(sealed, place=place), place=place)
