"""Security headers for browsers on every answer, besides the headers of Django's own middleware."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# The admin's pages need no content of other hosts, and no inline content.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
# A cache must not show accounts, orders or answers to others.
NEVER_CACHED = "max-age=0, no-cache, no-store, must-revalidate, private"
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class SecurityHeaders:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        response.headers.setdefault("Cache-Control", NEVER_CACHED)
        return response
