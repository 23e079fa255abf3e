"""The outcome of one image: ``Analysed`` or ``Failed``. Failures are values, and the hook raises them if necessary."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from typing import TypeAlias


class FailureReason(Enum):
    """The reason why an image has no analysis.

    Attributes:
        code: name of the reason, for logs and errors.
        status_code: HTTP status of a rejected request.
        clause: neutral words for the text model and the caller, without a provider's text, a URL or data.
    """

    TIMEOUT = ("timeout", 504, "the vision model did not answer in time")
    RATE_LIMITED = ("rate_limited", 429, "the vision model is over its rate limit; try again later")
    UNAVAILABLE = ("unavailable", 502, "the vision model is not available")
    MISCONFIGURED = (
        "misconfigured",
        502,
        "the gateway's vision model is not set up correctly; its operator finds the reason in the log",
    )
    NOT_ROUTED = ("not_routed", 403, "no deployment of the vision model serves the request's tags and region")
    CIRCUIT_OPEN = (
        "circuit_open",
        503,
        "the vision model keeps failing and is not asked for a moment; try again later",
    )
    BUSY = ("busy", 503, "the gateway has too many images to look at; try again later")
    EMPTY = ("empty", 502, "the vision model returned no text")
    OUT_OF_TOKENS = ("max_output_tokens", 502, "the vision model reached max_output_tokens before it wrote any text")
    REFUSED = ("refused", 400, "the vision model refused to look at the image")
    BAD_IMAGE = (
        "bad_image",
        400,
        "the vision model could not read the image; send it as PNG, JPEG, WEBP or GIF",
    )
    REJECTED = ("rejected", 400, "the vision model's provider rejected the call; the gateway's operator can see why")
    TOO_LARGE = ("too_large", 413, "the image is too large for the vision model; send a smaller one")
    TOO_LONG = ("too_long", 400, "the image and the text with it are too long for the vision model")
    MALFORMED = (
        "malformed",
        400,
        "the image part holds no image; send a data: URI with base64 or an http(s) URL",
    )
    UNSUPPORTED_SOURCE = (
        "unsupported_source",
        400,
        "the image is neither a data: URI of an image type with base64 nor an http(s) URL; send it as one of these",
    )
    UNSUPPORTED_TYPE = (
        "unsupported_type",
        400,
        "the image is of a type that is not looked at; send it as PNG, JPEG, WEBP or GIF",
    )
    MISLABELLED = (
        "mislabelled",
        400,
        "the image's data is no image; send it as PNG, JPEG, WEBP or GIF",
    )
    DAMAGED = (
        "damaged",
        400,
        "the image's data is not base64 of a whole image; send the file anew",
    )
    NOT_HELD = (
        "not_held",
        400,
        "the image is a file at a provider that does not serve the vision model; send the image itself or a URL",
    )
    URL_HAS_BLANKS = (
        "url_has_blanks",
        400,
        "the image's URL has a blank or an invisible character in it; write it as %20 or leave it out",
    )
    URL_NOT_PUBLIC = (
        "url_not_public",
        400,
        "the image's URL does not plainly name a public host; send the image as a data: URI with base64",
    )
    URL_NOT_ALLOWED = (
        "url_not_allowed",
        400,
        "this gateway does not accept the image's URL; send the image as a data: URI with base64",
    )
    FILE_NOT_ALLOWED = (
        "file_not_allowed",
        400,
        "this gateway does not accept files at a provider; send the image as a data: URI with base64",
    )
    NOT_LOOKED_AT = ("not_looked_at", 400, "older image, not looked at")
    BUDGET_EXCEEDED = ("budget_exceeded", 429, "the budget for vision calls is used up")

    INTERNAL = ("internal", 500, "image analysis failed within the gateway")

    def __init__(self, code: str, status_code: int, clause: str) -> None:
        self.code = code
        self.status_code = status_code
        self.clause = clause

    @property
    def not_cacheable(self) -> bool:
        """Whether there was no vision call, for a reason that may not apply to the next request."""
        return self in (
            FailureReason.NOT_ROUTED,
            FailureReason.CIRCUIT_OPEN,
            FailureReason.BUSY,
            FailureReason.BUDGET_EXCEEDED,
        )


@dataclass(frozen=True, slots=True)
class Analysed:
    """The vision model's text about one image.

    Attributes:
        text: the text, unchanged.
        truncated: whether it reached ``max_output_tokens``.
        cost: USD of the vision call, 0 without a call, ``None`` if LiteLLM knows no price.
        call_id: id of the call's spend-log row.
        cached: whether it needed no vision call of its own.
    """

    text: str
    truncated: bool = False
    cost: Decimal | None = None
    call_id: str | None = None
    cached: bool = False

    def as_cached(self) -> Analysed:
        """Return the same outcome for a request that did not make the call."""
        return replace(self, cost=Decimal(0), call_id=None, cached=True)


@dataclass(frozen=True, slots=True)
class Failed:
    """An image without an analysis.

    Attributes:
        reason: the class of failure.
        cost: USD of the vision call, if the provider charged it.
        call_id: id of the call's spend-log row.
        retry_after_seconds: seconds until a new attempt makes sense, if known.
        limit: the limit of a request that excludes the image, such as ``max_images is 20``.
        cure: what is wrong and what the operator has to do, for the log. ``None`` if it is not the operator's.
        blames_model: whether the vision model, its provider or the network may be the cause, and not the request.
        is_callers_own: whether the rules of the caller may be the cause. Another caller's call may then succeed.
    """

    reason: FailureReason
    cost: Decimal | None = Decimal(0)
    call_id: str | None = None
    retry_after_seconds: int | None = None
    limit: str | None = None
    cure: str | None = field(default=None, compare=False)
    blames_model: bool = field(default=True, compare=False)
    is_callers_own: bool = field(default=False, compare=False)

    @property
    def is_left_out(self) -> bool:
        """Whether a limit of the request excludes the image. It then gets a note, whatever ``on_failure`` says."""
        return self.limit is not None

    @property
    def is_shared(self) -> bool:
        """Whether the failure is that of other requests with the same question, too."""
        return not (self.reason.not_cacheable or self.is_callers_own)

    @property
    def clause(self) -> str:
        """Neutral words for the text model and the caller."""
        return self.reason.clause if self.limit is None else f"{self.reason.clause}: {self.limit}"

    def as_cached(self) -> Failed:
        """Return the same outcome for a request that did not make the call."""
        return replace(self, cost=Decimal(0), call_id=None)


Outcome: TypeAlias = Analysed | Failed
