"""Standard Webhooks: the optional signature of a delivery.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from webhooks.message.fields import is_name

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
HEADERS = (ID, TIMESTAMP, SIGNATURE)


class BadSignature(Exception):
    """The signature does not prove that the holder of the secret sent this body within the last five minutes."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A body with exactly the received bytes, and the request's signature headers by lower-case name, if any."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def verify_signature(signed: Signed, secret: str) -> str:
    """Returns the sender's name for this message. Raises BadSignature for any unusable headers, and no other error."""
    headers = {name: signed.headers.get(name, "") for name in HEADERS}
    try:
        Webhook(secret).verify(signed.body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError) as error:  # the library passes errors of bad base64 on
        raise BadSignature from error
    if not is_name(headers[ID]):
        raise BadSignature
    return headers[ID]
