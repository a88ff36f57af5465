"""Webhook tokens: 256 random bits, shown once, kept as a digest that is found by a public prefix."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

MARK = "th_"
RANDOM_BYTES = 32
PREFIX_LENGTH = len(MARK) + 8

SIGNING_MARK = "whsec_"
_SHAPE = re.compile(MARK + r"[A-Za-z0-9_-]{43}")

# The digest of no token: what has none to be compared with is compared with this.
DUMMY_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """`clear` is for its owner's eyes, once; `prefix` and `digest` are what we keep."""

    clear: str = field(repr=False)
    prefix: str
    digest: str


def new_token() -> IssuedToken:
    clear = MARK + secrets.token_urlsafe(RANDOM_BYTES)
    return IssuedToken(clear, prefix_of(clear), digest_of(clear))


def prefix_of(clear: str) -> str:
    return clear[:PREFIX_LENGTH]


def digest_of(clear: str) -> str:
    """SHA-256 in hex: with 256 random bits a fast hash is enough (ASVS 5.0, 11.4.2)."""
    return hashlib.sha256(clear.encode("utf-8", "surrogatepass")).hexdigest()


def is_token(clear: str) -> bool:
    """Whether it can be one of ours; what cannot is not worth asking the database about."""
    return _SHAPE.fullmatch(clear) is not None


def matches(digest: str, other: str) -> bool:
    """Takes the same time for every pair."""
    return hmac.compare_digest(digest.encode(), other.encode())


def new_signing_secret() -> str:
    """A key for Standard Webhooks: 256 random bits in base64 behind its mark."""
    return SIGNING_MARK + base64.b64encode(secrets.token_bytes(RANDOM_BYTES)).decode()
