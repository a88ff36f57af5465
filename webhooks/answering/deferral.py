"""How a request waits for its answer without a thread: the application hands the server a promise of the answer.

The server passes `CAN_DEFER` in the WSGI environ. The view may put a `Deferred` under `DEFERRED`; the server then drops
the view's response, awaits the deferred answer on its event loop, and calls the application once more with the same
environ and the deferred answer under `SETTLED`. A server without an event loop passes nothing, and the view waits.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

CAN_DEFER, DEFERRED, SETTLED = "tradehub.can_defer", "tradehub.deferred", "tradehub.settled"
PROVED = "tradehub.proved"  # set by the view: digest and user of the token that was right
ARRIVED = "tradehub.arrived"  # the monotonic time at which the whole request was here

T = TypeVar("T")
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


class Deferred(Protocol):
    async def settle(self, in_thread: InThread) -> None:
        """Returns when the answer can be built, or when the time for the answer is used up.

        `in_thread` runs a function that blocks on a thread of the server.
        """
