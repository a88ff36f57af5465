"""Tokens: 256 random bits, shown once, kept as a digest that is found by a public prefix."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

WEBHOOK_MARK, API_MARK, SIGNING_MARK = (
    "th_",
    "tr_",
    "whsec_",
)  # masked in logs and answers, wherever they turn up
RANDOM_BYTES = 32
PREFIX_LENGTH = len(WEBHOOK_MARK) + 8

_RANDOM = re.compile(r"[A-Za-z0-9_-]{43}")

# The digest of no token: what has none to be compared with is compared with this.
DUMMY_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """`clear` is for its owner's eyes, once; `prefix` and `digest` are what we keep."""

    clear: str = field(repr=False)
    prefix: str
    digest: str


def new_token(mark: str) -> IssuedToken:
    clear = mark + secrets.token_urlsafe(RANDOM_BYTES)
    return IssuedToken(clear, prefix_of(clear), digest_of(clear))


def prefix_of(clear: str) -> str:
    return clear[:PREFIX_LENGTH]


def digest_of(clear: str) -> str:
    """SHA-256 in hex: with 256 random bits a fast hash is enough (ASVS 5.0, 11.4.2)."""
    return hashlib.sha256(clear.encode("utf-8", "surrogatepass")).hexdigest()


def is_token(clear: str, mark: str) -> bool:
    """Whether it can be one of ours; what cannot is not worth asking the database about."""
    return clear.startswith(mark) and _RANDOM.fullmatch(clear, len(mark)) is not None


def digests_match(digest: str, other: str) -> bool:
    """Takes the same time for every pair."""
    return hmac.compare_digest(digest.encode(), other.encode())


def new_signing_secret() -> str:
    """A key for Standard Webhooks: 256 random bits in base64 behind its mark."""
    return SIGNING_MARK + base64.b64encode(secrets.token_bytes(RANDOM_BYTES)).decode()
