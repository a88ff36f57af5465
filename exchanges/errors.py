"""One error class for each conclusion that a caller may draw from a call to an exchange."""

from typing import ClassVar


class ExchangeError(Exception):
    """The base of all errors of adapters.

    `code` is tradehub's own code and never changes. `exchange_code` and `http_status` come from the exchange, as
    evidence. `message` is safe to store and show: no message holds a URL, a key or a signature.
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
    """The exchange read the request and refused the request: nothing happened at the exchange."""

    default_code = "rejected"


class Throttled(Rejected):
    """The exchange refused the request because of too many requests.

    `retry_after_s` counts the seconds until the exchange takes the next request. `per_account` is true where a single
    account sent too many requests; then the other accounts of this address may go on.
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
    """The request certainly never left this machine."""

    default_code = "not_sent"


class DuplicateClientOrderId(ExchangeError):
    """An order with this client order id exists: an earlier request arrived. Look up the order and adopt the order."""

    default_code = "duplicate_client_order_id"


class OrderNotFound(ExchangeError):
    """The exchange does not know the order *now*. This answer alone does not prove the order's absence."""

    default_code = "order_not_found"


class OutcomeUnknown(ExchangeError):
    """A command may or may not have taken effect. Never repeat the command: look up the order."""

    default_code = "outcome_unknown"


class Unavailable(ExchangeError):
    """A question got no usable answer. Asking again later is safe."""

    default_code = "unavailable"
