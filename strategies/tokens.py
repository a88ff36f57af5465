"""Tokens: 256 random bits, shown once. The database keeps a public prefix and a digest, and finds a token by both."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

# Logs mask texts with these marks (tradehub.masking); answers mask texts with the first two marks (webhooks.errors).
WEBHOOK_MARK, API_MARK, SIGNING_MARK = "th_", "tr_", "whsec_"
RANDOM_BYTES = 32
PREFIX_LENGTH = len(WEBHOOK_MARK) + 8

_RANDOM = re.compile(r"[A-Za-z0-9_-]{43}")

# The digest of no token. A token without a row is compared with this digest, so that every token costs a comparison.
DUMMY_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token. `clear` is shown to the owner once; `prefix` and `digest` are stored."""

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
    """Whether the text has the shape of a token with this mark. No query uses the prefix of another text."""
    return clear.startswith(mark) and _RANDOM.fullmatch(clear, len(mark)) is not None


def digests_match(digest: str, other: str) -> bool:
    """Compares two digests, in the same time for every pair of digests."""
    return hmac.compare_digest(digest.encode(), other.encode())


def new_signing_secret() -> str:
    """Makes a key for Standard Webhooks: 256 random bits in base64, behind the mark."""
    return SIGNING_MARK + base64.b64encode(secrets.token_bytes(RANDOM_BYTES)).decode()
