"""Translate errors of requests to errors of LiteLLM's proxy, in the format of each route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litellm_image_analysis.errors import FAILED_DEPENDENCY
from litellm_image_analysis.proxy.access import AccessDeniedError, status_of

if TYPE_CHECKING:
    from litellm.proxy._types import ProxyException

    from litellm_image_analysis.errors import RequestError

ERROR_HEADER = "x-litellm-image-analysis-error"
"""Response header with the code of an error, or the codes of the images without an analysis."""

_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def http_error(error: RequestError, call_type: str = "acompletion") -> ProxyException:
    """Return the error as an exception that LiteLLM's proxy answers with the right status.

    It becomes OpenAI's error object, or the one of Google or Anthropic on their routes. Anthropic's has no field for a
    code. A refusal by LiteLLM keeps LiteLLM's own exception, except on Google's route.

    Args:
        error: the error.
        call_type: LiteLLM's name for the call, which tells the route.
    """
    from litellm.proxy._types import ProxyException

    class OpenAIError(ProxyException):
        def to_dict(self) -> dict[str, Any]:
            return {**super().to_dict(), "code": error.code}

    class GoogleError(ProxyException):
        def to_dict(self) -> dict[str, Any]:
            return _google_error(error)

    on_google = call_type.startswith("agenerate_content")
    if isinstance(error, AccessDeniedError) and not on_google:
        error.denied.headers.setdefault(ERROR_HEADER, error.code)
        return _with_status(error.denied)
    retry_after = error.retry_after_seconds
    found = (GoogleError if on_google else OpenAIError)(
        error.message,
        type=error.type,
        param=error.param,
        code=error.status_code,
        openai_code=error.code,
        headers={ERROR_HEADER: error.code} | ({} if retry_after is None else {"retry-after": str(retry_after)}),
    )
    return _with_status(found)


def attempt_error(error: RequestError, call_type: str) -> ProxyException:
    """Return the same for an error in an attempt of LiteLLM's Router. It must not put the deployment into cooldown.

    Args:
        error: the error.
        call_type: LiteLLM's name for the call, which tells the route.
    """
    found = http_error(error, call_type)
    vars(found)["status_code"] = FAILED_DEPENDENCY  # for the Router. The response has the error's own status
    return found


def error_headers(error: Exception) -> dict[str, str]:
    """Return the response header with the code of an error of image analysis. Empty for other errors.

    Some of LiteLLM's routes do not send the headers of an exception.
    """
    headers = getattr(error, "headers", None)
    code = headers.get(ERROR_HEADER) if isinstance(headers, dict) else None
    return {} if code is None else {ERROR_HEADER: code}


def _google_error(error: RequestError) -> dict[str, Any]:
    """Return an error in Google's format, with its code as the reason: https://google.aip.dev/193."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": error.code.upper(),
        "domain": "litellm-image-analysis",
    }
    status = _google_status(error.status_code)
    return {"code": error.status_code, "message": error.message, "status": status, "details": [info]}


def _google_status(status_code: int) -> str:
    """Return Google's canonical name for a status: https://cloud.google.com/apis/design/errors#handling_errors."""
    return _GOOGLE_STATUS.get(status_code, "INTERNAL" if status_code >= 500 else "FAILED_PRECONDITION")


def _with_status(error: ProxyException) -> ProxyException:
    """Add ``status_code``: LiteLLM 1.84 reads it from errors in hooks, instead of its own error's ``code``."""
    vars(error).setdefault("status_code", status_of(error))
    return error
