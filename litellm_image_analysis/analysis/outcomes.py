"""What became of one image: ``Analysed`` or ``Failed``. Failures are values until the hook decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from typing import TypeAlias


class FailureReason(Enum):
    """Why an image has no analysis.

    Each carries the HTTP status of a rejected request and a neutral clause that is safe to show to the text
    model and to the caller: no provider's words, no URL, no data.
    """

    TIMEOUT = ("timeout", 504, "the vision model did not answer in time")
    RATE_LIMITED = ("rate_limited", 429, "the vision model is over its rate limit; try again later")
    UNAVAILABLE = ("unavailable", 502, "the vision model is not available")
    MISCONFIGURED = ("misconfigured", 502, "the gateway's vision model is not set up correctly")
    NOT_ROUTED = ("not_routed", 403, "no deployment of the vision model serves the request's tags")
    CIRCUIT_OPEN = (
        "circuit_open",
        503,
        "the vision model keeps failing and is not asked for a moment; try again later",
    )
    BUSY = ("busy", 503, "the gateway has too many images to look at; try again later")
    EMPTY = ("empty", 502, "the vision model returned no text")
    REFUSED = ("refused", 400, "the vision model refused to look at the image")
    BAD_IMAGE = (
        "bad_image",
        400,
        "the vision model could not read the image; send it as PNG, JPEG, WEBP or GIF",
    )
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
        "the image's data is not of the type it is declared as; declare the type that it has",
    )
    DAMAGED = (
        "damaged",
        400,
        "the image's data is not base64 of a whole image; send the file anew, with padding and without line breaks",
    )
    NOT_HELD = (
        "not_held",
        400,
        "the image is a file at a provider that does not serve the vision model; send the image itself or a URL",
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

    INTERNAL = ("internal", 500, "image analysis failed within the gateway")

    def __init__(self, code: str, status_code: int, clause: str) -> None:
        self.code = code
        self.status_code = status_code
        self.clause = clause

    @property
    def not_cacheable(self) -> bool:
        """Whether the vision model was not even asked, for a reason that the next request may not have."""
        return self in (FailureReason.NOT_ROUTED, FailureReason.CIRCUIT_OPEN, FailureReason.BUSY)


@dataclass(frozen=True, slots=True)
class Analysed:
    """The vision model's text about one image.

    Attributes:
        text: what it wrote, as it wrote it.
        truncated: whether it hit ``max_output_tokens``.
        cost: USD for the call that made it, 0 if no call was paid for, ``None`` if LiteLLM knows no price.
        call_id: id of the spend-log row of that call.
        cached: whether it was had without a vision call of its own.
    """

    text: str
    truncated: bool = False
    cost: Decimal | None = None
    call_id: str | None = None
    cached: bool = False

    def as_cached(self) -> Analysed:
        """The same for whoever did not make the call."""
        return replace(self, cost=Decimal(0), call_id=None, cached=True)


@dataclass(frozen=True, slots=True)
class Failed:
    """No analysis, and why.

    Attributes:
        reason: the class of failure.
        cost: USD, if a call was paid for all the same.
        call_id: id of the spend-log row of that call.
        retry_after_seconds: when to ask again, if the vision model said so or was not asked.
    """

    reason: FailureReason
    cost: Decimal | None = Decimal(0)
    call_id: str | None = None
    retry_after_seconds: int | None = None

    def as_cached(self) -> Failed:
        """The same for whoever did not make the call."""
        return replace(self, cost=Decimal(0), call_id=None)


Outcome: TypeAlias = Analysed | Failed
