"""What a report of an exception shows of variables, requests and settings: no secret, whatever DEBUG says.

Django hides what decorators name, in the decorated functions, and shows everything where DEBUG is on. Here the names
of variables decide, in all functions, also in those of libraries: no function can be forgotten, and signing an order
costs nothing more. Decorators (`sensitive_variables`) stand where a name does not tell.
"""

import re
from collections.abc import ItemsView
from typing import Any

from django.http import HttpRequest
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from tradehub.masking import mask_secrets

_HIDDEN_NAME = re.compile(
    r"secret|passw|passphrase|signature|signed|credential|api_?key|token|bearer|issued|sealed|private|cookie|authoriz"
    r"|csrf|session_?(?:id|key)|fernet|cipher|decrypt|(?:^|_)clear(?:_|$)",
    re.IGNORECASE,
)


def is_hidden_name(name: str) -> bool:
    return _HIDDEN_NAME.search(name) is not None


class SecretsHidden(SafeExceptionReporterFilter):
    hidden_settings = re.compile(
        rf"{SafeExceptionReporterFilter.hidden_settings.pattern}|COOKIE|CSRF|CREDENTIAL|DATABASES|CACHES|Q_CLUSTER|REDIS",
        re.IGNORECASE,
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> Any:
        shown = super().get_post_parameters(request)
        return {name: self._shown(name, value) for name, value in shown.items()}

    def get_safe_request_meta(self, request: HttpRequest) -> dict[str, Any]:
        shown = super().get_safe_request_meta(request)
        return {name: self._shown(name, value) for name, value in shown.items()}

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: Any
    ) -> ItemsView[str, Any]:
        shown = super().get_traceback_frame_variables(request, tb_frame)
        return {name: self._shown(name, value) for name, value in shown}.items()

    def _shown(self, name: str, value: Any) -> Any:
        """The value, or its text with masks where the text holds what looks like a secret."""
        if is_hidden_name(name):
            return self.cleansed_substitute
        try:
            text = repr(value)
        except Exception as error:  # noqa: BLE001 - the report of one exception must not end in another one
            return f"{type(error).__name__} while showing the value"
        masked = mask_secrets(text)
        return value if masked == text else masked


class MaskedReporter(ExceptionReporter):
    """The report with masks for what stands elsewhere in it: messages of exceptions, and addresses."""

    def get_traceback_data(self) -> dict[str, Any]:
        shown: dict[str, Any] = super().get_traceback_data()
        for frame in shown["frames"]:
            cause = frame.get("exc_cause")
            frame["exc_cause"] = None if cause is None else mask_secrets(str(cause))
        shown["exception_value"] = mask_secrets(shown.get("exception_value", ""))
        return shown

    # Django's methods return SafeString, a promise to templates; what shows a report takes any text.
    def get_traceback_html(self) -> str:  # type: ignore[override]
        return mask_secrets(super().get_traceback_html())

    def get_traceback_text(self) -> str:  # type: ignore[override]
        return mask_secrets(super().get_traceback_text())
