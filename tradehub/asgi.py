"""The ASGI application of the web server: WSGI in threads, behind a body buffer. See docs/adr/0001-web-server.md."""

import gc
import os
import threading
from functools import partial

from django.conf import settings
from django.utils import timezone

from tradehub.http.body_buffer import BufferedWSGI
from tradehub.parent import end_with_parent
from tradehub.wsgi import application as wsgi_application

# isort: split
from exchanges.market_data.warmup import warm_up  # models exist once the application exists
from orders.execution.batches import drain
from tradehub.http.api_errors import crowded_answer
from webhooks.views import refuses_unread

BODY_TIMEOUT_S = 10
DRAIN_S = 4  # the server ends its workers after 5 s

if server_pid := os.environ.get("SERVE_PID"):
    end_with_parent(int(server_pid))

application = BufferedWSGI(
    wsgi_application,
    threads=settings.WEB_THREADS,
    answer_threads=settings.ANSWER_THREADS,
    max_bytes=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
    body_timeout_s=BODY_TIMEOUT_S,
    waiting_per_sender=settings.WEB_WAITING_PER_SENDER,
    waiting_at_most=settings.WEB_WAITING,
    crowded_answer=crowded_answer,
    trusted_proxies=settings.TRUSTED_PROXIES,
    refuses_unread=refuses_unread,
    drain=partial(drain, DRAIN_S),
)


def _warm_up() -> None:
    warm_up(now=timezone.now())
    # All objects loaded so far stay, so a garbage collection in the middle of a fan-out need not visit these objects.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
