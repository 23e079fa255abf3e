"""Every exception this package raises.

::

    ImageAnalysisError
    ├── ConfigError (also ValueError)   the settings are wrong; raised at start, never for one request
    └── RequestError                    one request cannot be served as it is; carries the HTTP status
        ├── access.AccessDeniedError    LiteLLM says that the caller may not call the model
        └── AttemptError                the same, within one attempt of LiteLLM's Router

Inside the package failures are values (see ``outcomes``); these are raised at its rim only.
"""

from __future__ import annotations


class ImageAnalysisError(Exception):
    """Base of all errors of this package."""


class ConfigError(ImageAnalysisError, ValueError):
    """The settings cannot be used. The message names each setting, its value and what would be right."""


class RequestError(ImageAnalysisError):
    """One request cannot be served; its sender can tell from the message what to change.

    Attributes:
        status_code: HTTP status for the response, also read by LiteLLM.
        message: what is wrong, where, and what to do; free of image data and of providers' own words.
        param: the part of the request body that is to blame, or ``None``.
        code: machine-readable reason, such as ``"image_too_large"``.
        retry_after_seconds: when to try again, if that is known.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int = 400,
        param: str | None = None,
        code: str = "invalid_request",
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.param = param
        self.code = code
        self.retry_after_seconds = retry_after_seconds

    @property
    def type(self) -> str:
        """OpenAI's error type for the status: what clients branch on."""
        if self.status_code == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status_code < 500 else "api_error"


FAILED_DEPENDENCY = 424


class AttemptError(RequestError):
    """A request's analysis failed while LiteLLM's Router was trying a deployment, which is not to blame.

    ``status_code`` is 424: the Router then tries its fallbacks, but neither the same again nor does it let the
    deployment cool down, as it would for most others.

    Attributes:
        reason: what went wrong, with the status that is meant.
    """

    def __init__(self, reason: RequestError) -> None:
        super().__init__(
            reason.message,
            status_code=FAILED_DEPENDENCY,
            param=reason.param,
            code=reason.code,
            retry_after_seconds=reason.retry_after_seconds,
        )
        self.reason = reason
