"""The exceptions of this package.

::

    ImageAnalysisError
    ├── ConfigError (also ValueError)   the settings are wrong. Raised at the start
    └── RequestError                    one request cannot be served. Has the HTTP status
        ├── access.AccessDeniedError    LiteLLM denies the caller access to the model
        └── AttemptError                the same in one attempt of LiteLLM's Router

Inside the package, failures are values (see ``analysis/outcomes.py``). The outer layers raise these exceptions.
"""

from __future__ import annotations


class ImageAnalysisError(Exception):
    """Base class of all errors of this package."""


class ConfigError(ImageAnalysisError, ValueError):
    """The settings are wrong. The message names each wrong setting, its value, and valid values."""


class RequestError(ImageAnalysisError):
    """One request cannot be served. The message says what the caller can change.

    Attributes:
        status_code: HTTP status for the response, also read by LiteLLM.
        message: the problem, its place, and a remedy, without image data and providers' texts.
        param: the part of the request body with the problem, or ``None``.
        code: machine-readable reason, such as ``"image_too_large"``.
        retry_after_seconds: seconds until a retry makes sense, if known.
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
        """OpenAI's error type for the status."""
        if self.status_code == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status_code < 500 else "api_error"


FAILED_DEPENDENCY = 424


class AttemptError(RequestError):
    """The analysis of a request failed in an attempt of LiteLLM's Router. The deployment is not the cause.

    With ``status_code`` 424, the Router tries its fallbacks. Unlike for most other statuses, it does not try the same
    deployment again and does not put it into cooldown.

    Attributes:
        reason: the error, with its own status.
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
