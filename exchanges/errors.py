"""One error class per conclusion that a caller may draw about a call to an exchange."""

from typing import ClassVar


class ExchangeError(Exception):
    """Base of everything an adapter raises.

    `code` is stable and ours; `exchange_code` and `http_status` are the exchange's own words, kept as evidence.
    `message` is safe to store and show: it never holds a URL, a key or a signature.
    """

    default_code: ClassVar[str] = "exchange_error"

    def __init__(
        self, message: str = "", *, code: str = "", exchange_code: str = "", http_status: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.exchange_code = exchange_code
        self.http_status = http_status


class Rejected(ExchangeError):
    """The exchange read the request and refused it: nothing happened there."""

    default_code = "rejected"


class Throttled(Rejected):
    """Refused for too many requests. `retry_after_s`: seconds until the next try is welcome.

    `per_account`: only one account sent too much; the others behind this address may go on.
    """

    default_code = "throttled"

    def __init__(
        self, message: str = "", *, retry_after_s: int = 60, per_account: bool = False, **evidence: object
    ) -> None:
        super().__init__(message, **evidence)  # type: ignore[arg-type]
        self.retry_after_s = retry_after_s
        self.per_account = per_account


class AuthenticationFailed(Rejected):
    """The key is wrong, revoked or not allowed from this address: no request of this account will pass."""

    default_code = "authentication_failed"


class NotSent(ExchangeError):
    """It provably never left this machine."""

    default_code = "not_sent"


class DuplicateClientOrderId(ExchangeError):
    """An order with this client order id exists: an earlier attempt arrived. Look it up and adopt it."""

    default_code = "duplicate_client_order_id"


class OrderNotFound(ExchangeError):
    """The exchange does not know the order *now*; by itself no proof that it never will."""

    default_code = "order_not_found"


class OutcomeUnknown(ExchangeError):
    """A command may or may not have taken effect. Never repeat it: look it up."""

    default_code = "outcome_unknown"


class Unavailable(ExchangeError):
    """A question got no usable answer. Asking again later is safe."""

    default_code = "unavailable"
